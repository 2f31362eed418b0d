//! Keeps what a follower hears, to be replayed: `DANTETIMESYNC_KERNEL_RECORD=FOLDER` makes every world write a
//! capture there.
//!
//! The stamps are on the raw timeline, which is not steered: `dantetimesync replay` then sees the path and the
//! two crystals, and nothing of what the daemon did.

use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dantetimesync::clock::Timeline;
use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::net::linux::RealPtpNetwork;
use dantetimesync::net::{Capture, EVENT_PORT, GENERAL_PORT, NetworkEvent, NetworkOptions, Port, PtpNetwork};
use dantetimesync::ptp;
use dantetimesync::replay::CaptureWriter;
use dantetimesync::time::Span;

use crate::clock;
use crate::namespaces::Namespaces;

/// A running recorder; ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Recorder {
    /// Starts if it is asked for; the file is called as the test is, by the name of its thread.
    pub fn if_wanted(namespaces: &Namespaces) -> Option<Self> {
        let folder = std::env::var_os("DANTETIMESYNC_KERNEL_RECORD")?;
        let name = thread::current().name().unwrap_or("test").replace("::", "-");
        let path = Path::new(&folder).join(name).with_extension("pcap");
        Some(Self::start(namespaces, path))
    }

    /// Writes what the follower hears to a file until it is dropped.
    pub fn start(namespaces: &Namespaces, path: PathBuf) -> Self {
        let namespace = namespaces.follower.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            Namespaces::enter(&namespace).unwrap();
            record(&path, &stopped);
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the recorder failed");
        }
    }
}

fn record(path: &Path, stopped: &AtomicBool) {
    let group = ptp::group(&DEFAULT_SUBDOMAIN);
    let mut network = RealPtpNetwork::open(NetworkOptions {
        interface: Some("sl0".to_owned()),
        capture: Capture::Udp,
        ..NetworkOptions::default()
    })
    .unwrap();
    let mut capture = CaptureWriter::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    let mut timeline = Timeline::new();
    while !stopped.load(Ordering::Relaxed) {
        // The clock may be steered at any time: a new piece of its line for every wait.
        let reading = clock::read().unwrap();
        timeline.changed(reading, reading, clock::kernel_rate().unwrap());
        network.wait(Span::from_ms(20), &mut []).unwrap();
        while let Some(event) = network.next_event(&timeline).unwrap() {
            let NetworkEvent::Datagram(datagram) = event else { continue };
            let Ok(stamp) = datagram.stamp else { continue };
            let port = if datagram.port == Port::Event { EVENT_PORT } else { GENERAL_PORT };
            let destination = SocketAddrV4::new(group, port);
            let (at, payload) = (stamp.at.as_ns(), datagram.payload);
            capture.write_udp(at, datagram.source, destination, payload.as_slice()).unwrap();
        }
    }
    capture.finish().unwrap();
}
