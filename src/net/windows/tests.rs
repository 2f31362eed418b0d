//! Real sockets on the loopback.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::clock::platform::raw_clock;
use crate::config::DEFAULT_SUBDOMAIN;
use crate::net::{Capture, Payload, Stamp};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

/// A port that no other test gets: a socket holds it that shares it and, connected elsewhere, hears nothing.
fn free_port() -> u16 {
    let socket = UdpSocket::new().unwrap();
    socket.share_port().unwrap();
    socket.bind(0).unwrap();
    socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)).unwrap();
    let port = socket.port().unwrap();
    std::mem::forget(socket);
    port
}

fn options(capture: Capture) -> NetworkOptions {
    NetworkOptions {
        interface: Some("127.0.0.1".to_owned()),
        event_port: free_port(),
        general_port: free_port(),
        loopback: true,
        subdomain: DEFAULT_SUBDOMAIN,
        capture,
        everything: false,
    }
}

fn sender(network: &RealPtpNetwork, port: u16) -> UdpSocket {
    let socket = UdpSocket::new().unwrap();
    socket.multicast_by(&network.interfaces()[0]).unwrap();
    socket.connect(SocketAddrV4::new(GROUP, port)).unwrap();
    socket
}

fn message(length: usize, control: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(&[0, 1, 0, 1]);
    bytes[4..20].copy_from_slice(&DEFAULT_SUBDOMAIN);
    bytes[32] = control;
    bytes
}

fn next_datagram(network: &mut RealPtpNetwork) -> Datagram {
    for _ in 0..10 {
        if let Some(NetworkEvent::Datagram(datagram)) = network.next_event(&Timeline::new()).unwrap() {
            return datagram;
        }
        network.wait(Span::from_secs(1), &mut []).unwrap();
    }
    panic!("nothing heard")
}

/// What is heard of a Sync and a Follow_Up.
fn hears_sync_and_follow_up(options: NetworkOptions) {
    let (event, general) = (options.event_port, options.general_port);
    let mut network = RealPtpNetwork::open(options).unwrap();
    let leader = sender(&network, event);
    let before = raw_clock();
    leader.send(&message(124, 0)).unwrap();
    let sync = next_datagram(&mut network);
    assert_eq!((sync.port, sync.interface), (Port::Event, network.interfaces()[0].index));
    assert_eq!(sync.payload.as_slice(), message(124, 0));
    assert_eq!(sync.source.port(), leader.port().unwrap());
    let stamp = sync.stamp.unwrap();
    assert!(stamp.at > before && stamp.at < raw_clock(), "{stamp:?} after {before:?}");
    assert_eq!(network.stamps(), stamp.source);

    sender(&network, general).send(&message(52, 2)).unwrap();
    assert_eq!(next_datagram(&mut network).port, Port::General);
    assert_eq!(network.counters().received, 2);
}

#[test]
fn sync_and_follow_up_are_heard_with_stamps() {
    hears_sync_and_follow_up(options(Capture::Udp));
}

#[test]
fn a_raw_socket_hears_them_without_the_ports() {
    let options = options(Capture::Raw);
    let event = options.event_port;
    let network = match RealPtpNetwork::open(options.clone()) {
        Err(NetworkError::NotPermitted { .. }) => {
            eprintln!("skipped: raw sockets need the rights of an administrator");
            return;
        }
        opened => opened.unwrap(),
    };
    assert_eq!(network.counters().way, Way::Raw);
    // Nothing of ours is on the port: somebody who will not share it can have it.
    let alone = UdpSocket::new().unwrap();
    assert!(process::owners([event, event]).iter().all(|owner| owner.pid != std::process::id()));
    drop((network, alone));
    hears_sync_and_follow_up(options);
}

#[test]
fn the_readiness_of_other_sockets_is_told() {
    let mut network = RealPtpNetwork::open(options(Capture::Udp)).unwrap();
    let [quiet, busy] = [UdpSocket::new().unwrap(), UdpSocket::new().unwrap()];
    quiet.bind(0).unwrap();
    busy.bind(0).unwrap();
    let sender = UdpSocket::new().unwrap();
    sender.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, busy.port().unwrap())).unwrap();
    sender.send(b"x").unwrap();
    let mut others = [Pollable::new(quiet.fd()), Pollable::new(busy.fd())];
    network.wait(Span::from_secs(5), &mut others).unwrap();
    assert_eq!(others[0], Pollable { fd: quiet.fd(), readable: false, error: false });
    assert_eq!(others[1], Pollable { fd: busy.fd(), readable: true, error: false });
    busy.receive().unwrap();
    network.wait(Span::from_ms(1), &mut others).unwrap();
    assert!(!others[1].readable, "what was found earlier is forgotten");
}

#[test]
fn what_is_not_wanted_is_sampled_and_version_two_noticed() {
    let options = options(Capture::Udp);
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let sender = sender(&network, event);
    let mut version_two = vec![0; 44];
    version_two[1] = 2;
    for _ in 0..128 {
        sender.send(&version_two).unwrap();
    }
    sender.send(&message(124, 0)).unwrap();
    let mut heard = 0;
    while next_datagram(&mut network).payload.as_slice().len() != 124 {
        heard += 1;
    }
    assert_eq!((heard, network.counters().ptp_v2), (2, 2));
}

#[test]
fn what_nobody_takes_is_counted_and_bounded() {
    let options = options(Capture::Udp);
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let sender = sender(&network, event);
    for _ in 0..2_000 {
        sender.send(&message(124, 0)).unwrap();
    }
    let mut heard = 0_u64;
    for _ in 0..3_000 {
        network.wait(Span::from_ms(1), &mut []).unwrap();
        match network.next_event(&Timeline::new()).unwrap() {
            Some(_) => heard += 1,
            None if heard + network.counters().overrun >= 2_000 => break,
            None => {}
        }
    }
    // What the system itself lost, nobody knows of.
    let overrun = network.counters().overrun;
    assert!(heard >= 256 && heard + overrun <= 2_000, "{heard} heard, {overrun} lost");
}

#[test]
fn the_group_is_heard_after_joining_anew() {
    let options = options(Capture::Udp);
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    network.rejoin().unwrap();
    assert!(network.next_event(&Timeline::new()).unwrap().is_none(), "nothing has changed");
    sender(&network, event).send(&message(124, 0)).unwrap();
    assert_eq!(next_datagram(&mut network).port, Port::Event);
}

#[test]
fn two_programs_share_the_ports() {
    let options = options(Capture::Udp);
    let event = options.event_port;
    let mut networks =
        [RealPtpNetwork::open(options.clone()).unwrap(), RealPtpNetwork::open(options).unwrap()];
    sender(&networks[0], event).send(&message(124, 0)).unwrap();
    for network in &mut networks {
        assert_eq!(next_datagram(network).port, Port::Event);
    }
}

#[test]
fn a_taken_port_is_reported_with_its_holder() {
    let holder = UdpSocket::new().unwrap();
    holder.bind(0).unwrap();
    let port = holder.port().unwrap();
    let error =
        RealPtpNetwork::open(NetworkOptions { event_port: port, ..options(Capture::Udp) }).unwrap_err();
    let NetworkError::PortTaken { port: taken, .. } = error else { panic!("{error}") };
    assert_eq!(taken, port);
}

#[test]
fn when_dantes_software_comes_the_ports_are_left() {
    let options = options(Capture::Auto);
    let mut network = RealPtpNetwork::open(NetworkOptions { capture: Capture::Udp, ..options }).unwrap();
    network.options.capture = Capture::Auto;
    let found =
        super::super::capture::Surroundings { dante: Some("Dante Via".to_owned()), owners: Vec::new() };
    let reason = must_leave_ports(Capture::Auto, network.ears.way(), &found).unwrap();
    let usable = network.interfaces();
    let _ = network.leave_ports(&reason, &usable);
    assert_eq!(network.counters().way, Way::Raw);
    assert!(matches!(network.ears, Ears::Below { .. }));
}

#[test]
fn an_absent_interface_is_refused_with_a_list_of_the_others() {
    let options = NetworkOptions { interface: Some("absent0".to_owned()), ..options(Capture::Udp) };
    let error = RealPtpNetwork::open(options).unwrap_err().to_string();
    assert!(error.contains("absent0 does not exist") && error.contains("(127.0.0.1)"), "{error}");
}

#[test]
fn a_try_that_failed_half_way_does_not_keep_the_next_one_from_joining() {
    for capture in [Capture::Udp, Capture::Raw] {
        let mut network = match RealPtpNetwork::open(options(capture)) {
            Err(NetworkError::NotPermitted { .. }) => continue,
            opened => opened.unwrap(),
        };
        // The groups are joined already, and nobody knows of it any more.
        let usable = network.interfaces();
        let links = network.ears.link(&network.options, &[], &usable, false, &mut Vec::new());
        assert_eq!(links.unwrap(), usable);
    }
}

#[test]
fn who_stamps_is_told_of_the_event_port_alone() {
    let mut network = RealPtpNetwork::open(options(Capture::Udp)).unwrap();
    let received = |source| socket::Received {
        payload: Payload::new(&message(124, 0)),
        source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 319),
        interface: None,
        stamp: Ok(Stamp { at: raw_clock(), uncertainty: Span::ZERO, source }),
    };
    network.count(Port::General, &received(StampSource::User));
    assert_eq!(network.counters.stamps, None);
    network.count(Port::Event, &received(StampSource::Kernel));
    network.count(Port::General, &received(StampSource::User));
    assert_eq!(network.stamps(), StampSource::Kernel);
    assert_eq!(network.counters().without_stamp, 2);
}

#[test]
fn a_wait_is_ended_when_the_program_is_to_end() {
    let mut network = RealPtpNetwork::open(options(Capture::Udp)).unwrap();
    // Other tests of this process wait too, and one of them may be the one that is ended.
    let ended = (0..100).any(|_| {
        let before = raw_clock();
        event::wake();
        network.wait(Span::from_secs(5), &mut []).unwrap();
        raw_clock() - before < Span::from_secs(1)
    });
    assert!(ended);
}
