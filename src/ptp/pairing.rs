//! Puts the Syncs and Follow_Ups of one leader together.
//!
//! They come by two sockets, so that either may be read first; the network loses, doubles and reorders them.

use super::election::DataSet;
use super::{DropCounts, DropReason};
use crate::net::Stamp;
use crate::time::{Leader, Raw, Span, Timestamp};

/// Halves that wait for their other half. A Follow_Up comes within a millisecond, a Sync every 62 ms at the
/// most, so that more than two wait only where half of the messages are lost.
const WAITING: usize = 8;

/// How long a half waits.
const PATIENCE: Span = Span::from_secs(1);

/// Sequence ids that are this near to the newest one belong to its run; the rest is a jump. More than this lost
/// in a row takes a second even at the fastest Sync interval (1/16 s), and then a jump is allowed anyway.
const RUN: u16 = 16;

/// Pairs that are remembered, to know a replay of them for what it is: 8 s at the usual 4 Sync/s.
const MEMORY: usize = 32;

/// What is kept of a Sync.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sync {
    /// When it arrived.
    pub(super) stamp: Stamp,
    /// What the leader says of itself in it.
    pub(super) data: DataSet,
}

/// One of the two messages that make a pair.
#[derive(Debug, Clone, Copy)]
pub(super) enum Half {
    Sync(Sync),
    /// With the time at which its Sync left.
    FollowUp(Timestamp<Leader>),
}

/// A Sync of which it is known when it left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) sequence: u16,
    /// Steps from the pair before in the same run; `None` after a jump and when it came out of order.
    pub(super) advance: Option<u16>,
    pub(super) sent: Timestamp<Leader>,
    pub(super) sync: Sync,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    sequence: u16,
    since: Timestamp<Raw>,
    half: Half,
}

/// What is known of one leader's sequence of messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairing {
    waiting: [Option<Waiting>; WAITING],
    /// The last pairs, as a ring: sequence id and time sent.
    done: [Option<(u16, Timestamp<Leader>)>; MEMORY],
    next_done: usize,
    newest: Option<u16>,
}

impl Pairing {
    /// Takes a half; returns the pair that it completes, if it does. A jump of the sequence ids (a leader that
    /// rebooted) is followed only where `jump_allowed`: as long as the old run goes on, what is off it is old.
    ///
    /// # Errors
    /// `Duplicate`: seen already, or off the run.
    pub(super) fn offer(
        &mut self,
        sequence: u16,
        half: Half,
        jump_allowed: bool,
        now: Timestamp<Raw>,
        drops: &mut DropCounts,
    ) -> Result<Option<Pair>, DropReason> {
        self.expire(now, drops);
        self.admit(sequence, jump_allowed)?;
        let slot = self.waiting.iter_mut().find(|slot| slot.is_some_and(|other| other.sequence == sequence));
        let Some(slot) = slot else {
            self.wait(Waiting { sequence, since: now, half }, drops);
            return Ok(None);
        };
        let (sync, sent) = match (half, slot.map(|other| other.half)) {
            (Half::Sync(sync), Some(Half::FollowUp(sent)))
            | (Half::FollowUp(sent), Some(Half::Sync(sync))) => (sync, sent),
            _ => return Err(DropReason::Duplicate),
        };
        *slot = None;
        self.complete(sequence, sent, sync, jump_allowed).map(Some)
    }

    /// Takes a Sync that needs no Follow_Up; see [`Pairing::offer`].
    ///
    /// # Errors
    /// `Duplicate`: seen already, or off the run.
    pub(super) fn offer_whole(
        &mut self,
        sequence: u16,
        sent: Timestamp<Leader>,
        sync: Sync,
        jump_allowed: bool,
    ) -> Result<Pair, DropReason> {
        self.admit(sequence, jump_allowed)?;
        self.complete(sequence, sent, sync, jump_allowed)
    }

    /// Gives up the halves that have waited too long, and counts them.
    pub(super) fn expire(&mut self, now: Timestamp<Raw>, drops: &mut DropCounts) {
        for slot in &mut self.waiting {
            if let Some(old) = slot.take_if(|waiting| now - waiting.since > PATIENCE) {
                drops.add(old.lacks());
            }
        }
    }

    /// Gives up all halves that wait, and counts them.
    pub(super) fn abandon(&mut self, drops: &mut DropCounts) {
        for waiting in self.waiting.iter_mut().filter_map(Option::take) {
            drops.add(waiting.lacks());
        }
    }

    fn admit(&self, sequence: u16, jump_allowed: bool) -> Result<(), DropReason> {
        let Some(newest) = self.newest else { return Ok(()) };
        let fresh = match step(newest, sequence) {
            Step::Ahead(_) => true,
            Step::Behind => !self.done.iter().flatten().any(|(done, _)| *done == sequence),
            Step::Jump => false,
        };
        if fresh || jump_allowed { Ok(()) } else { Err(DropReason::Duplicate) }
    }

    fn wait(&mut self, waiting: Waiting, drops: &mut DropCounts) {
        // An empty slot sorts before every waiting half, and the oldest half before the others.
        let slot = self.waiting.iter_mut().min_by_key(|slot| slot.map(|other| other.since));
        if let Some(displaced) = slot.and_then(|slot| slot.replace(waiting)) {
            drops.add(displaced.lacks());
        }
    }

    fn complete(
        &mut self,
        sequence: u16,
        sent: Timestamp<Leader>,
        sync: Sync,
        jump_allowed: bool,
    ) -> Result<Pair, DropReason> {
        // The same id with the same nanosecond is the same message, however long the leader has been silent.
        if self.done.contains(&Some((sequence, sent))) {
            return Err(DropReason::Duplicate);
        }
        let step = match self.newest.map_or(Step::Jump, |newest| step(newest, sequence)) {
            // Nothing of the old run waits that long: a new run that happens to begin beside it.
            Step::Behind if jump_allowed => Step::Jump,
            step => step,
        };
        if !matches!(step, Step::Behind) {
            self.newest = Some(sequence);
        }
        if let Some(slot) = self.done.get_mut(self.next_done) {
            *slot = Some((sequence, sent));
        }
        self.next_done = self.next_done.wrapping_add(1) % MEMORY;
        let advance = if let Step::Ahead(by) = step { Some(by) } else { None };
        Ok(Pair { sequence, advance, sent, sync })
    }
}

impl Waiting {
    /// Why it is given up, when it is.
    const fn lacks(&self) -> DropReason {
        match self.half {
            Half::Sync(_) => DropReason::NoFollowUp,
            Half::FollowUp(_) => DropReason::NoSync,
        }
    }
}

/// How a sequence id stands to the newest one.
enum Step {
    Ahead(u16),
    Behind,
    Jump,
}

/// Modulo 2^16: at 4 Sync/s the ids wrap every 4.55 h.
fn step(newest: u16, sequence: u16) -> Step {
    match sequence.wrapping_sub(newest) {
        by @ 1..=RUN => Step::Ahead(by),
        0 => Step::Behind,
        by if by.wrapping_neg() <= RUN => Step::Behind,
        _ => Step::Jump,
    }
}
