//! A PTPv1 leader for tests: sends Sync and Follow_Up like a Dante device, by one interface only.
//!
//! Prints its time base, one line of JSON each time it changes; the leader's clock is a function of
//! `CLOCK_MONOTONIC_RAW`, so an observer on this computer can compute what it reads.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the leader needs the transmit stamps of the Linux kernel");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::BufRead;
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::sync::Arc;
    use std::thread;

    use anyhow::{Context, bail};
    use clap::Parser;
    use dantetimesync::clock::platform::raw_clock;
    use dantetimesync::leader::{
        Leader, LeaderControl, LeaderOptions, NtpServer, NtpServerOptions, TimeBase, Wander,
    };
    use dantetimesync::time::{Rate, Span};

    /// A PTPv1 leader for tests. On a network with Dante devices it would take part in their election: keep
    /// it on an interface of its own.
    #[derive(Debug, Parser)]
    struct Arguments {
        /// Address of the interface to send by
        #[arg(long)]
        interface: Ipv4Addr,
        /// Multicast group
        #[arg(long, default_value = "224.0.1.129")]
        group: Ipv4Addr,
        /// Destination port of Sync; Follow_Up goes to the next one
        #[arg(long, default_value_t = 319)]
        event_port: u16,
        /// Last byte of the MAC address to claim
        #[arg(long, default_value_t = 1)]
        uuid: u8,
        /// Stratum; Dante leaders say 121 or 153
        #[arg(long, default_value_t = 121)]
        stratum: u8,
        /// Claim to be the Preferred Leader
        #[arg(long)]
        preferred: bool,
        /// Rate against the raw clock, in ppm
        #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
        ppm: f64,
        /// What the leader's clock reads at start, in s
        #[arg(long, default_value_t = 86_400)]
        epoch: i64,
        /// Time between two Syncs, in ms
        #[arg(long, default_value_t = 250)]
        interval: i64,
        /// A swing of the rate: amplitude in ppm, period in s (repeatable)
        #[arg(long, value_name = "PPM,SECONDS", value_parser = wander)]
        wander: Vec<Wander>,
        /// Also serve NTP at this address
        #[arg(long, value_name = "ADDRESS:PORT")]
        ntp: Option<SocketAddrV4>,
        /// End after this many seconds
        #[arg(long)]
        seconds: Option<i64>,
        /// Obey `ppm NUMBER`, `pause` and `resume` on standard input, and end when it ends
        #[arg(long)]
        stdin: bool,
    }

    pub fn main() -> anyhow::Result<()> {
        let arguments = Arguments::parse();
        let control = Arc::new(LeaderControl::default());
        let leader = Leader::open(options(&arguments)).context("cannot open the leader's sockets")?;
        if let Some(address) = arguments.ntp {
            serve_ntp(address, &control)?;
        }
        if let Some(seconds) = arguments.seconds {
            stop_after(Span::from_secs(seconds), &control);
        }
        if arguments.stdin {
            let control = Arc::clone(&control);
            thread::spawn(move || obey(&control));
        }
        announce(leader.time_base());
        leader.run(&control, announce).context("the leader failed")?;
        eprintln!("sent {} Syncs, {} without Follow_Up", control.sent(), control.without_stamp());
        Ok(())
    }

    fn options(arguments: &Arguments) -> LeaderOptions {
        let defaults = LeaderOptions::on(arguments.interface);
        let [a, b, c, d, e, _] = defaults.uuid;
        LeaderOptions {
            group: arguments.group,
            event_port: arguments.event_port,
            general_port: arguments.event_port.saturating_add(1),
            uuid: [a, b, c, d, e, arguments.uuid],
            stratum: arguments.stratum,
            preferred: arguments.preferred,
            rate: Rate::from_ppm(arguments.ppm),
            epoch: Span::from_secs(arguments.epoch),
            interval: Span::from_ms(arguments.interval),
            wander: arguments.wander.clone(),
            ..defaults
        }
    }

    fn wander(text: &str) -> anyhow::Result<Wander> {
        let (amplitude, period) = text.split_once(',').context("expected PPM,SECONDS")?;
        let wander = Wander { amplitude_ppm: amplitude.parse()?, period_s: period.parse()?, phase_rad: 0.0 };
        if wander.period_s <= 0.0 {
            bail!("a period of {} s is out of range: more than 0 s", wander.period_s);
        }
        Ok(wander)
    }

    fn serve_ntp(address: SocketAddrV4, control: &Arc<LeaderControl>) -> anyhow::Result<()> {
        let options = NtpServerOptions { address, offset: Span::ZERO, rate: Rate::ZERO };
        let server = NtpServer::bind(options).with_context(|| format!("cannot serve NTP at {address}"))?;
        eprintln!("serving NTP at {}", server.address()?);
        // Its own counters, so that they do not mix; it ends with the process.
        let ntp_control = LeaderControl::default();
        let leader = Arc::clone(control);
        thread::spawn(move || {
            if let Err(error) = server.run(&ntp_control) {
                eprintln!("the NTP server failed: {error}");
                leader.stop();
            }
        });
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "the life of this program is measured in real time")]
    fn stop_after(life: Span, control: &Arc<LeaderControl>) {
        let control = Arc::clone(control);
        let end = raw_clock() + life;
        thread::spawn(move || {
            while raw_clock() < end {
                thread::sleep(std::time::Duration::from_millis(100));
            }
            control.stop();
        });
    }

    fn obey(control: &LeaderControl) {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["pause"] => control.pause(true),
                ["resume"] => control.pause(false),
                ["ppm", number] => match number.parse() {
                    Ok(ppm) => control.set_rate(Rate::from_ppm(ppm)),
                    Err(error) => eprintln!("{number}: {error}"),
                },
                _ => eprintln!("not understood: {line}"),
            }
        }
        control.stop();
    }

    fn announce(time_base: &TimeBase) {
        match serde_json::to_string(time_base) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("cannot print the time base: {error}"),
        }
    }
}
