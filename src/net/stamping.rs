//! Whose stamp of an arrival is taken where the operating system offers stamps but need not keep its word.
//!
//! Windows accepts the request for stamps and then depends on the card's driver: most of them give none unless they
//! are told to. A path that changes its stamps from datagram to datagram would look like jitter of many µs, so one
//! kind is kept until the other has proven itself.

use super::{Stamp, StampSource};
use crate::clock::StampFault;
use crate::time::{Raw, Span, Timestamp};

/// So many stamps in a row, and the system's are believed: two seconds of a leader's Syncs and Follow_Ups.
const PROVEN_BY: u32 = 16;
/// So many missing ones in a row, and they are no longer.
const GIVEN_UP_AFTER: u32 = 64;
/// An older stamp is of another clock, as that of a card: no arrival waits so long to be read.
const AGE_MAX: Span = Span::from_secs(1);
/// Both readings are of one counter, so a stamp is never later than the reading; this is rounding.
const AHEAD_MAX: Span = Span::from_us(1);
/// What the conversion of the system's stamp costs: the counter's step and rounding.
const KERNEL_UNCERTAINTY: Span = Span::from_ns(100);
/// How late the stamp of a thread that is woken first usually is.
const USER_UNCERTAINTY: Span = Span::from_us(100);

/// Chooses the stamps of one socket.
#[derive(Debug, Default, Clone)]
pub struct Stamping {
    believed: bool,
    /// Datagrams in a row that spoke against the present choice.
    against: u32,
}

impl Stamping {
    /// The stamp of a datagram that was read at `read_at` and for which the operating system says `system`.
    ///
    /// # Errors
    /// When the system's stamps are used and this one is missing: one odd stamp would do more harm.
    pub fn choose(
        &mut self,
        system: Option<Timestamp<Raw>>,
        read_at: Timestamp<Raw>,
    ) -> Result<Stamp, StampFault> {
        let system = system.filter(|at| (-AHEAD_MAX..=AGE_MAX).contains(&(read_at - *at)));
        let (against, needed) = match system.is_some() == self.believed {
            true => (0, PROVEN_BY),
            false if self.believed => (self.against.saturating_add(1), GIVEN_UP_AFTER),
            false => (self.against.saturating_add(1), PROVEN_BY),
        };
        self.against = against;
        if against >= needed {
            (self.believed, self.against) = (!self.believed, 0);
        }
        match system {
            Some(at) if self.believed => {
                Ok(Stamp { at, uncertainty: KERNEL_UNCERTAINTY, source: StampSource::Kernel })
            }
            None if self.believed => Err(StampFault::Missing),
            _ => Ok(Stamp { at: read_at, uncertainty: USER_UNCERTAINTY, source: StampSource::User }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);

    fn sources(stamping: &mut Stamping, system: Option<Timestamp<Raw>>, times: usize) -> Vec<StampSource> {
        (0..times).filter_map(|_| stamping.choose(system, READ).ok().map(|stamp| stamp.source)).collect()
    }

    #[test]
    fn without_stamps_the_programs_own_are_taken() {
        let stamp = Stamping::default().choose(None, READ).unwrap();
        assert_eq!((stamp.at, stamp.source), (READ, StampSource::User));
    }

    #[test]
    fn the_systems_stamps_are_taken_once_they_have_come_for_a_while() {
        let mut stamping = Stamping::default();
        let system = Some(READ - Span::from_us(40));
        assert_eq!(sources(&mut stamping, system, 15), [StampSource::User; 15]);
        // One without starts the count anew.
        assert_eq!(sources(&mut stamping, None, 1), [StampSource::User]);
        assert_eq!(sources(&mut stamping, system, 15), [StampSource::User; 15]);
        assert_eq!(sources(&mut stamping, system, 2), [StampSource::Kernel; 2]);
        assert_eq!(stamping.choose(system, READ).unwrap().at, READ - Span::from_us(40));
    }

    #[test]
    fn a_missing_stamp_is_a_fault_until_too_many_are_missing() {
        let mut stamping = Stamping::default();
        sources(&mut stamping, Some(READ), 20);
        for _ in 0..63 {
            assert_eq!(stamping.choose(None, READ), Err(StampFault::Missing));
        }
        assert_eq!(sources(&mut stamping, Some(READ), 1), [StampSource::Kernel]);
        sources(&mut stamping, None, 64);
        assert_eq!(sources(&mut stamping, None, 1), [StampSource::User]);
    }

    #[test]
    fn stamps_of_another_clock_are_none() {
        for odd in [Timestamp::EPOCH, READ - Span::from_ms(1_001), READ + Span::from_us(2)] {
            assert_eq!(sources(&mut Stamping::default(), Some(odd), 40), [StampSource::User; 40], "{odd:?}");
        }
    }
}
