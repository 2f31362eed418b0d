//! The sieve as a classic BPF program, which the Linux kernel runs.

use libc::sock_filter;

use super::{CONTROL, SAMPLE_ONE_IN, SUBDOMAIN, VERSION_ONE, wanted};
use crate::net::Port;

/// For UDP sockets a filter sees the datagram from its UDP header on.
const UDP_HEADER: u32 = 8;
/// A random u32 below this lets a datagram through.
const SAMPLE_BELOW: u32 = u32::MAX / SAMPLE_ONE_IN;
/// The random number of the kernel: SKF_AD_OFF (−0x1000) + SKF_AD_RANDOM (56), as an unsigned address.
const RANDOM: u32 = 0xffff_f000 + 56;
/// The whole datagram is kept.
const KEEP: u32 = u32::MAX;

// Instructions as in linux/filter.h: class, size or operation, mode.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const LOAD_LENGTH: u16 = 0x80;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The program for one of the two ports: accepts Sync on the event port and Follow_Up on the general port, of
/// version 1 and of this subdomain, when they are long enough.
pub fn program(port: Port, subdomain: [u8; 16]) -> Vec<sock_filter> {
    let (length, control) = wanted(port);
    let mut tests = vec![
        (statement(LOAD_LENGTH, 0), JUMP_AT_LEAST, UDP_HEADER.saturating_add(length)),
        (statement(LOAD_WORD, UDP_HEADER), JUMP_EQUAL, u32::from_be_bytes(VERSION_ONE)),
    ];
    let (words, _) = subdomain.as_chunks::<4>();
    for (offset, word) in (UDP_HEADER.saturating_add(SUBDOMAIN)..).step_by(4).zip(words) {
        tests.push((statement(LOAD_WORD, offset), JUMP_EQUAL, u32::from_be_bytes(*word)));
    }
    tests.push((statement(LOAD_BYTE, UDP_HEADER.saturating_add(CONTROL)), JUMP_EQUAL, control.into()));

    // Every test is two instructions; behind the last one stands "keep", and behind that the sampling.
    let mut program = Vec::new();
    let mut behind = u8::try_from(tests.len()).expect("seven tests");
    for (load, jump, value) in tests {
        behind = behind.saturating_sub(1);
        let to_sampling = behind.saturating_mul(2).saturating_add(1);
        program.extend([load, sock_filter { code: jump, jt: 0, jf: to_sampling, k: value }]);
    }
    program.extend([
        statement(RETURN, KEEP),
        statement(LOAD_WORD, RANDOM),
        sock_filter { code: JUMP_AT_LEAST, jt: 1, jf: 0, k: SAMPLE_BELOW },
        statement(RETURN, KEEP),
        statement(RETURN, 0),
    ]);
    program
}

const fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::net::filter::Sieve;
    use crate::net::socket::{UdpSocket, is_readable, poll, pollfd};
    use crate::time::Span;

    fn message(length: usize, control: u8, subdomain: [u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&[0, 1, 0, 1]);
        bytes[4..20].copy_from_slice(&subdomain);
        bytes[32] = control;
        bytes
    }

    /// Sends each message `times` times through a filtered socket of the real kernel, and counts what comes
    /// out, message by message. A final good one, which always passes, tells that all were seen.
    fn passing(port: Port, times: usize, messages: &[Vec<u8>]) -> Vec<usize> {
        let receiver = UdpSocket::new().unwrap();
        receiver.attach_filter(&program(port, DEFAULT_SUBDOMAIN)).unwrap();
        receiver.bind(0).unwrap();
        let sender = UdpSocket::new().unwrap();
        sender.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, receiver.port().unwrap())).unwrap();
        let (length, control) = if port == Port::Event { (200, 0) } else { (199, 2) };
        let last = message(length, control, DEFAULT_SUBDOMAIN);
        let mut passed = vec![0; messages.len()];
        for (passed, message) in passed.iter_mut().zip(messages) {
            // Fewer at once than a socket holds.
            for burst in (0..times).step_by(50) {
                for _ in burst..times.min(burst + 50) {
                    sender.send(message).unwrap();
                }
                sender.send(&last).unwrap();
                loop {
                    let mut fds = [pollfd(receiver.fd())];
                    poll(&mut fds, Span::from_secs(5)).unwrap();
                    assert!(is_readable(&fds[0]), "the last message was filtered");
                    let received = receiver.receive().unwrap();
                    if received.payload.as_slice() == last {
                        break;
                    }
                    assert_eq!(received.payload.as_slice(), message);
                    *passed += 1;
                }
            }
        }
        // The sieve of other systems wants the same.
        for (passed, message) in passed.iter().zip(messages) {
            assert_eq!(*passed == times, Sieve::new(port, DEFAULT_SUBDOMAIN).fits(message), "{message:?}");
        }
        passed
    }

    #[test]
    fn what_is_wanted_always_passes() {
        let subdomain = DEFAULT_SUBDOMAIN;
        let sync = [message(124, 0, subdomain), message(150, 0, subdomain)];
        assert_eq!(passing(Port::Event, 200, &sync), [200, 200]);
        let follow_up = [message(52, 2, subdomain), message(60, 2, subdomain)];
        assert_eq!(passing(Port::General, 200, &follow_up), [200, 200]);
    }

    #[test]
    fn what_is_not_wanted_passes_about_once_in_64() {
        let subdomain = DEFAULT_SUBDOMAIN;
        let mut version_two = message(44, 0, subdomain);
        version_two[..2].copy_from_slice(&[0x00, 0x02]);
        let mut network_two = message(124, 0, subdomain);
        network_two[3] = 2;
        let mut unwanted = vec![
            version_two,
            network_two,
            message(124, 1, subdomain),
            message(123, 0, subdomain),
            message(124, 0, *b"_ALT1\0\0\0\0\0\0\0\0\0\0\0"),
            vec![],
            vec![0],
        ];
        // Every octet of the subdomain counts.
        for octet in [0, 5, 10, 15] {
            let mut other = subdomain;
            other[octet] ^= 0x40;
            unwanted.push(message(124, 0, other));
        }
        // 640 draws of 1 in 64: 10 expected; 40 or more has a probability below 1e-11.
        for (passed, message) in passing(Port::Event, 640, &unwanted).into_iter().zip(&unwanted) {
            assert!(passed < 40, "{passed} of 640 passed: {message:?}");
        }
        let unwanted = [message(51, 2, subdomain), message(52, 0, subdomain), message(60, 3, subdomain)];
        let passed = passing(Port::General, 640, &unwanted);
        assert!(passed.iter().all(|passed| *passed < 40), "{passed:?}");
        // 1920 draws: none at all has a probability below 1e-13.
        assert!(passed.iter().sum::<usize>() > 0, "nothing is sampled");
    }
}
