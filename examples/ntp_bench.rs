//! Compares this program's NTP exchange with that of the crate `rsntp`: the same server on the loopback, an idle
//! computer, and one whose cores are all busy. Prints how far single exchanges are off.
//!
//! The server's time is a known function of the raw clock, so the truth is known at any moment.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the server needs the stamps of the Linux kernel");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use anyhow::{Context, bail};
    use clap::Parser;
    use dantetimesync::clock::platform::{OsClock, raw_clock};
    use dantetimesync::clock::{SystemClock, Timeline};
    use dantetimesync::leader::{LeaderControl, NtpServer, NtpServerOptions};
    use dantetimesync::ntp::NtpSource;
    use dantetimesync::ntp::client::{Answer, Client, Exchange};
    use dantetimesync::ntp::source::RealNtpSource;
    use dantetimesync::time::{Line, Rate, Raw, Span, Timestamp, Utc};

    /// Compare NTP exchanges with those of rsntp.
    #[derive(Debug, Parser)]
    struct Arguments {
        /// Exchanges of each client on an idle and on a loaded computer
        #[arg(long, default_value_t = 500)]
        exchanges: u32,
        /// Time between them, in ms
        #[arg(long, default_value_t = 20)]
        pause_ms: u64,
    }

    pub fn main() -> anyhow::Result<()> {
        let arguments = Arguments::parse();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let server = NtpServer::bind(NtpServerOptions { address, offset: Span::ZERO, rate: Rate::ZERO })
            .context("cannot start a server")?;
        let (address, utc) = (server.address()?, server.utc());
        let control = LeaderControl::default();
        let cores = thread::available_parallelism()?.get();
        thread::scope(|scope| {
            let serving = scope.spawn(|| server.run(&control));
            let _ended = control.stop_on_drop();
            println!("errors of single exchanges, in µs      median      spread         99 %       worst");
            for (name, busy) in [("idle".to_owned(), 0), (format!("{cores} cores busy"), cores)] {
                let [ours, theirs] = loaded(busy, || compare(&arguments, address, utc))?;
                println!("{:<36}{}", format!("{name}, dantetimesync"), row(ours));
                println!("{:<36}{}", format!("{name}, rsntp"), row(theirs));
            }
            control.stop();
            match serving.join() {
                Ok(served) => served.context("the server failed"),
                Err(_) => bail!("the server panicked"),
            }
        })
    }

    /// Does `work` while so many threads keep the processors busy.
    fn loaded<T>(threads: usize, work: impl FnOnce() -> T) -> T {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let result = work();
            ended.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Errors in µs: ours, and those of rsntp, which take turns.
    fn compare(
        arguments: &Arguments,
        address: SocketAddrV4,
        utc: Line<Utc, Raw>,
    ) -> anyhow::Result<[Vec<f64>; 2]> {
        let mut ours = Ours::open(address)?;
        let theirs = rsntp::SntpClient::new();
        let mut clock = OsClock::observe()?;
        let mut errors = [Vec::new(), Vec::new()];
        let [our_errors, their_errors] = &mut errors;
        for _ in 0..arguments.exchanges {
            let exchange = ours.exchange()?;
            our_errors.push((exchange.utc - utc.at(exchange.raw)).as_ns_f64() / 1e3);
            pause(arguments);
            let result = theirs.synchronize(address.to_string()).context("rsntp failed")?;
            // What it calls the offset is the server's time minus the system clock's.
            let now = clock.read()?;
            let truth = Span::from_ns(utc.at(now.raw).as_ns().saturating_sub(now.system.as_ns()));
            their_errors.push((result.clock_offset().as_secs_f64() - truth.as_secs_f64()) * 1e6);
            pause(arguments);
        }
        Ok(errors)
    }

    #[allow(clippy::disallowed_methods, reason = "a benchmark in real time")]
    fn pause(arguments: &Arguments) {
        thread::sleep(Duration::from_millis(arguments.pause_ms));
    }

    /// The service's own client and sockets, asked as fast as is wanted here.
    struct Ours {
        clock: OsClock,
        source: RealNtpSource,
        timeline: Timeline,
        name: String,
    }

    impl Ours {
        fn open(address: SocketAddrV4) -> anyhow::Result<Self> {
            let name = address.to_string();
            let source = RealNtpSource::open(std::slice::from_ref(&name));
            let mut ours = Self { clock: OsClock::observe()?, source, timeline: Timeline::new(), name };
            // The kernel turns stamping on a moment after it was asked for.
            let started = raw_clock();
            while ours.exchange().is_err() {
                if raw_clock() - started > Span::from_secs(5) {
                    bail!("no answer from {}", ours.name);
                }
            }
            Ok(ours)
        }

        fn exchange(&mut self) -> anyhow::Result<Exchange> {
            let now = raw_clock();
            let mut client = Client::new(1, seed(now), now);
            let (server, request) = client.poll_request(now).context("nothing is due")?;
            self.read_clock()?;
            let sent = self.source.send(server, &request.to_bytes(), &self.timeline)?;
            client.handle_sent(server, &request, Some(sent));
            while raw_clock() - now < Span::from_secs(1) {
                self.source.wait(Span::from_ms(100))?;
                self.read_clock()?;
                while let Some(event) = self.source.next_event(&self.timeline) {
                    if let Ok(Answer::Exchange(exchange)) = client.handle_event(event) {
                        return Ok(exchange);
                    }
                }
            }
            bail!("no answer from {}", self.name)
        }

        fn read_clock(&mut self) -> anyhow::Result<()> {
            let reading = self.clock.read()?;
            self.timeline.changed(reading, reading, self.clock.rate()?);
            Ok(())
        }
    }

    fn seed(now: Timestamp<Raw>) -> u64 {
        now.as_ns().unsigned_abs()
    }

    /// Median, standard deviation, and the sizes that 99 % and all stay below.
    fn row(errors: Vec<f64>) -> String {
        let count: f64 = errors.iter().map(|_| 1.0).sum();
        let mean = errors.iter().sum::<f64>() / count;
        let spread = (errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / count).sqrt();
        let mut signed = errors;
        signed.sort_by(f64::total_cmp);
        let mut sizes: Vec<f64> = signed.iter().map(|error| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], part: usize| {
            let index = sorted.len().saturating_mul(part) / 100;
            sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        let [median, most, worst] = [at(&signed, 50), at(&sizes, 99), at(&sizes, 100)];
        format!("{median:>11.1} {spread:>11.1}  {most:>11.1} {worst:>11.1}")
    }
}
