//! Offset, rate and jitter over time.

use std::collections::VecDeque;

use dantetimesync::time::{Raw, Span, Timestamp};

use crate::feed::Told;

/// Points that are kept: an hour, at two a second.
const POINTS: usize = 7_200;

/// One moment; what was not known then is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp<Raw>,
    /// Offset and its bound, in µs.
    pub offset: Option<(f64, f64)>,
    /// The leader's rate and its bound, in ppm.
    pub rate: Option<(f64, f64)>,
    /// Jitter, in µs.
    pub jitter: Option<f64>,
}

/// The course of the last hour.
#[derive(Debug, Default)]
pub struct Course {
    points: VecDeque<Point>,
}

impl Course {
    /// Takes what was told. The same snapshot told twice is one point; a program that does not run leaves a gap.
    pub fn add(&mut self, told: &Told) {
        let point = match &told.status {
            Ok(status) => {
                let snapshot = &status.snapshot;
                Point {
                    at: Timestamp::from_ns(snapshot.raw_ns),
                    offset: snapshot.offset.map(|it| (it.value_ns / 1e3, it.bound_ns / 1e3)),
                    rate: snapshot.leader_rate.map(|it| (it.value_ppb / 1e3, it.bound_ppb / 1e3)),
                    jitter: snapshot.jitter_ns.map(|jitter| jitter / 1e3),
                }
            }
            Err(_) => Point { at: told.at, offset: None, rate: None, jitter: None },
        };
        if self.points.back().is_some_and(|last| last.at >= point.at) {
            return;
        }
        if self.points.len() >= POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The points of the last `window`, the oldest first.
    pub fn since(&self, now: Timestamp<Raw>, window: Span) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| now - point.at <= window)
    }
}
