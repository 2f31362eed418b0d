//! Real sockets on the loopback, and interfaces in a network namespace of our own.
#![allow(unsafe_code, reason = "a network namespace is entered by a libc call")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use super::*;
use crate::clock::SystemClock;
use crate::clock::linux::LinuxClock;
use crate::config::DEFAULT_SUBDOMAIN;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

/// A port that no other test gets: a socket holds it that shares it and, connected elsewhere, hears nothing.
fn free_port() -> u16 {
    let socket = UdpSocket::new().unwrap();
    socket.bind(0).unwrap();
    socket.share_port().unwrap();
    socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)).unwrap();
    let port = socket.port().unwrap();
    std::mem::forget(socket);
    port
}

fn options() -> NetworkOptions {
    NetworkOptions {
        interface: Some("lo".to_owned()),
        event_port: free_port(),
        general_port: free_port(),
        loopback: true,
        subdomain: DEFAULT_SUBDOMAIN,
        capture: Capture::Auto,
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

fn timeline() -> Timeline {
    let mut clock = LinuxClock::observe().unwrap();
    let mut timeline = Timeline::new();
    let rate = clock.rate().unwrap();
    timeline.restart(clock.read().unwrap(), rate);
    timeline
}

fn next_datagram(network: &mut RealPtpNetwork, timeline: &Timeline) -> Datagram {
    for _ in 0..10 {
        network.wait(Span::from_secs(1), &mut []).unwrap();
        if let Some(NetworkEvent::Datagram(datagram)) = network.next_event(timeline).unwrap() {
            return datagram;
        }
    }
    panic!("nothing heard")
}

#[test]
fn sync_and_follow_up_are_heard_with_kernel_stamps() {
    let options = options();
    let (event, general) = (options.event_port, options.general_port);
    let mut network = RealPtpNetwork::open(options).unwrap();
    assert_eq!(network.stamps(), StampSource::Kernel);
    let timeline = timeline();

    let leader = sender(&network, event);
    // The kernel turns stamping on a moment after it was asked for: the first ones may come without.
    let (before, sync) = (0..1000)
        .find_map(|_| {
            let before = raw_clock();
            leader.send(&message(124, 0)).unwrap();
            let sync = next_datagram(&mut network, &timeline);
            if sync.stamp == Err(StampFault::Missing) {
                network.wait(Span::from_ms(5), &mut []).unwrap();
                return None;
            }
            Some((before, sync))
        })
        .unwrap();
    assert_eq!((sync.port, sync.interface), (Port::Event, network.interfaces()[0].index));
    assert_eq!(sync.payload.as_slice(), message(124, 0));
    assert_eq!(sync.source.port(), leader.port().unwrap());

    sender(&network, general).send(&message(52, 2)).unwrap();
    let follow_up = next_datagram(&mut network, &timeline);
    assert_eq!(follow_up.port, Port::General);

    let stamp = sync.stamp.unwrap();
    assert_eq!(stamp.source, StampSource::Kernel);
    let slack = Span::from_us(10);
    assert!(stamp.at > before - slack && stamp.at < raw_clock() + slack, "{stamp:?} after {before:?}");
    assert!(network.counters().received >= 2);
}

#[test]
fn one_wake_up_gives_one_datagram_per_socket() {
    let options = options();
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let timeline = timeline();
    let sender = sender(&network, event);
    sender.send(&message(124, 0)).unwrap();
    sender.send(&message(125, 0)).unwrap();
    // Nothing is read before a wait has announced it.
    assert!(network.next_event(&timeline).unwrap().is_none());
    for length in [124, 125] {
        network.wait(Span::from_secs(5), &mut []).unwrap();
        let event = network.next_event(&timeline).unwrap();
        let Some(NetworkEvent::Datagram(datagram)) = event else { panic!("{event:?}") };
        assert_eq!(datagram.payload.as_slice().len(), length);
        assert!(network.next_event(&timeline).unwrap().is_none());
    }
}

#[test]
fn the_readiness_of_other_sockets_is_told() {
    let mut network = RealPtpNetwork::open(options()).unwrap();
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
fn version_two_is_noticed_through_the_filter() {
    let options = options();
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let (timeline, sender) = (timeline(), sender(&network, event));
    let mut version_two = vec![0; 44];
    version_two[1] = 2;
    // 2048 draws of 1 in 64: none at all has a probability of 1e-14.
    for _ in 0..2048 {
        sender.send(&version_two).unwrap();
        network.wait(Span::from_ms(1), &mut []).unwrap();
        let _ = network.next_event(&timeline).unwrap();
        if network.counters().ptp_v2 > 0 {
            return;
        }
    }
    panic!("not noticed");
}

#[test]
fn whoever_wants_all_gets_all_and_the_groups_of_other_subdomains() {
    let options = NetworkOptions { everything: true, ..options() };
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let timeline = timeline();
    let mut version_two = vec![0; 44];
    version_two[1] = 2;
    for group in crate::ptp::GROUPS {
        let sender = UdpSocket::new().unwrap();
        sender.multicast_by(&network.interfaces()[0]).unwrap();
        sender.connect(SocketAddrV4::new(group, event)).unwrap();
        for _ in 0..10 {
            sender.send(&version_two).unwrap();
            network.wait(Span::from_secs(5), &mut []).unwrap();
            let event = network.next_event(&timeline).unwrap();
            assert!(matches!(event, Some(NetworkEvent::Datagram(_))), "{group}: {event:?}");
        }
    }
}

#[test]
fn after_silence_the_groups_of_other_subdomains_are_heard_too() {
    let options = options();
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let timeline = timeline();
    let sender = UdpSocket::new().unwrap();
    sender.multicast_by(&network.interfaces()[0]).unwrap();
    sender.connect(SocketAddrV4::new(Ipv4Addr::new(224, 0, 1, 130), event)).unwrap();
    // The filter lets 1 in 64 of them through: 2048 draws.
    let hear = |network: &mut RealPtpNetwork| {
        (0..2048).any(|_| {
            sender.send(&[0; 124]).unwrap();
            network.wait(Span::from_ms(1), &mut []).unwrap();
            matches!(network.next_event(&timeline).unwrap(), Some(NetworkEvent::Datagram(_)))
        })
    };
    assert!(!hear(&mut network), "a follower needs its own group only");
    for _ in 0..2 {
        network.rejoin().unwrap();
        assert!(hear(&mut network));
    }
}

#[test]
fn a_datagram_without_a_stamp_has_none_where_the_kernel_stamps() {
    let received = Received {
        payload: crate::net::Payload::new(&[]),
        source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
        stamp: None,
    };
    let read_at = Timestamp::from_ns(77);
    assert_eq!(convert(&received, true, read_at, &Timeline::new()), Err(StampFault::Missing));
    let stamp = convert(&received, false, read_at, &Timeline::new()).unwrap();
    assert_eq!((stamp.at, stamp.source), (read_at, StampSource::User));
}

#[test]
fn the_group_is_heard_after_joining_anew() {
    let options = options();
    let event = options.event_port;
    let mut network = RealPtpNetwork::open(options).unwrap();
    let timeline = timeline();
    network.rejoin().unwrap();
    assert!(network.next_event(&timeline).unwrap().is_none(), "nothing has changed");
    sender(&network, event).send(&message(124, 0)).unwrap();
    assert_eq!(next_datagram(&mut network, &timeline).port, Port::Event);
}

#[test]
fn two_programs_share_the_ports() {
    let options = options();
    let event = options.event_port;
    let mut networks =
        [RealPtpNetwork::open(options.clone()).unwrap(), RealPtpNetwork::open(options).unwrap()];
    sender(&networks[0], event).send(&message(124, 0)).unwrap();
    let timeline = timeline();
    for network in &mut networks {
        assert_eq!(next_datagram(network, &timeline).port, Port::Event);
    }
}

#[test]
fn a_taken_port_is_reported_with_its_holder() {
    let holder = UdpSocket::new().unwrap();
    holder.bind(0).unwrap();
    let port = holder.port().unwrap();
    let error = RealPtpNetwork::open(NetworkOptions { event_port: port, ..options() }).unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with(&format!("UDP port {port} is taken by ")) && !told.contains('\n'), "{told}");
    let unknown = NetworkError::PortTaken { port: 319, holder: None }.to_string();
    assert!(
        unknown.starts_with("UDP port 319 is taken by a program that cannot be found out: "),
        "{unknown}"
    );
    let NetworkError::PortTaken { port: taken, holder } = error else { panic!("{error}") };
    assert_eq!(taken, port);
    let own = format!("(pid {})", std::process::id());
    assert!(holder.as_ref().is_some_and(|name| name.ends_with(&own)), "{holder:?}");
}

#[test]
fn an_absent_interface_is_refused_with_a_list_of_the_others() {
    let options = NetworkOptions { interface: Some("absent0".to_owned()), ..options() };
    let error = RealPtpNetwork::open(options).unwrap_err().to_string();
    assert!(error.contains("absent0 does not exist") && error.contains("lo (127.0.0.1)"), "{error}");
}

#[test]
fn a_refused_port_names_the_capability() {
    let error = bind_error(&io::Error::from_raw_os_error(libc::EACCES), 319).to_string();
    assert!(error.contains("CAP_NET_BIND_SERVICE"), "{error}");
}

/// Enters a network namespace of this thread's own. Needs root and iproute2; `None` without them.
fn own_namespace() -> Option<()> {
    // SAFETY: plain integers; only this thread is moved.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 && ip("link set lo up");
    if !entered {
        eprintln!("skipped: no permission to make a network namespace");
    }
    entered.then_some(())
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split_whitespace()).status().is_ok_and(|status| status.success())
}

fn listening(network: &mut RealPtpNetwork) -> Option<Vec<String>> {
    // The next look is due at once.
    network.next_look = network.woke_at;
    match network.next_event(&Timeline::new()).unwrap() {
        Some(NetworkEvent::LinkChanged { listening }) => {
            Some(listening.iter().map(ToString::to_string).collect())
        }
        _ => None,
    }
}

#[test]
fn interfaces_that_come_and_go_are_followed() {
    let test = || {
        own_namespace()?;
        assert!(ip("link add va type veth peer name vb"));
        assert!(ip("addr add 10.9.0.1/24 dev va") && ip("link set va up") && ip("link set vb up"));
        let any = NetworkOptions { interface: None, loopback: false, ..options() };
        let mut network = RealPtpNetwork::open(any).unwrap();
        assert_eq!(listening(&mut network), None);

        assert!(ip("addr add 10.9.0.2/24 dev vb"));
        let both = ["va (10.9.0.1)".to_owned(), "vb (10.9.0.2)".to_owned()];
        let mut heard = listening(&mut network).unwrap();
        heard.sort();
        assert_eq!(heard, both);
        assert_eq!(listening(&mut network), None, "a change is told once");

        assert!(ip("addr flush dev va") && ip("addr add 10.9.0.7/24 dev va"));
        assert!(listening(&mut network).unwrap().contains(&"va (10.9.0.7)".to_owned()));

        assert!(ip("link set vb down"));
        assert_eq!(listening(&mut network).unwrap(), ["va (10.9.0.7)"]);

        assert!(ip("link del va"));
        assert_eq!(listening(&mut network).unwrap(), [""; 0]);
        assert_eq!(network.rejoin(), Err(NetworkError::NoInterface));
        // Replugged: same name, another number.
        assert!(ip("link add va type veth peer name vb"));
        assert!(ip("addr add 10.9.0.1/24 dev va") && ip("link set va up") && ip("link set vb up"));
        assert_eq!(listening(&mut network).unwrap(), ["va (10.9.0.1)"]);
        Some(())
    };
    std::thread::spawn(test).join().unwrap();
}

#[test]
fn every_interface_hears_only_its_own_datagrams() {
    let test = || {
        own_namespace()?;
        for (near, far, net) in [("va", "vb", 1), ("vc", "vd", 2)] {
            assert!(ip(&format!("link add {near} type veth peer name {far}")));
            assert!(ip(&format!("addr add 10.9.{net}.1/24 dev {near}")));
            assert!(ip(&format!("link set {near} up")) && ip(&format!("link set {far} up")));
        }
        // The far ends have no address yet, so they are not listened on.
        let all = interface::list(false).unwrap();
        let any = NetworkOptions { interface: None, loopback: false, ..options() };
        let event = any.event_port;
        let mut network = RealPtpNetwork::open(any).unwrap();
        assert_eq!(network.interfaces(), all);
        let timeline = timeline();
        for (net, (far, near)) in [("vb", "va"), ("vd", "vc")].into_iter().enumerate() {
            // Both ends are ours: the near one would drop the address of the far one as forged.
            let near_file = |name| format!("/proc/sys/net/ipv4/conf/{near}/{name}");
            std::fs::write(near_file("accept_local"), "1").unwrap();
            std::fs::write(near_file("rp_filter"), "0").unwrap();
            std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").unwrap();
            assert!(ip(&format!("addr add 10.8.{net}.9/24 dev {far}")));
            let socket = UdpSocket::new().unwrap();
            socket.bind_to_device(far).unwrap();
            assert!(ip(&format!("route replace 224.0.1.129/32 dev {far}")));
            socket.connect(SocketAddrV4::new(GROUP, event)).unwrap();
            let near = all.iter().find(|interface| interface.name == near).unwrap();
            socket.send(&message(124, 0)).unwrap();
            let datagram = next_datagram(&mut network, &timeline);
            assert_eq!(datagram.interface, near.index);
            network.wait(Span::from_ms(20), &mut []).unwrap();
            assert!(network.next_event(&timeline).unwrap().is_none(), "heard twice");
        }
        Some(())
    };
    std::thread::spawn(test).join().unwrap();
}

#[test]
fn no_more_interfaces_are_listened_on_than_there_may_be_sockets() {
    let test = || {
        own_namespace()?;
        for pair in 0..5 {
            assert!(ip(&format!("link add near{pair} type veth peer name far{pair}")));
            for (end, host) in [("near", 1), ("far", 2)] {
                assert!(ip(&format!("addr add 10.9.{pair}.{host}/24 dev {end}{pair}")));
                assert!(ip(&format!("link set {end}{pair} up")));
            }
        }
        let any = NetworkOptions { interface: None, loopback: false, ..options() };
        let mut network = RealPtpNetwork::open(any.clone()).unwrap();
        assert_eq!(network.interfaces().len(), INTERFACES_MAX);
        let warnings = network.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(network.take_warnings().is_empty(), "a warning is told once");
        assert_eq!(listening(&mut network), None, "those left out are no change");

        assert!(ip("link set far4 down"));
        let named = NetworkOptions { interface: Some("far4".to_owned()), ..any };
        let error = RealPtpNetwork::open(named).unwrap_err().to_string();
        assert!(error.contains("is down") && error.contains("near4 (10.9.4.1)"), "{error}");
        Some(())
    };
    std::thread::spawn(test).join().unwrap();
}
