//! What the user can choose, as the parts that decide see it.

use crate::time::{Rate, Span};

/// All choices, with the defaults of the program run without any.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The subdomain that is followed, NUL padded.
    pub subdomain: [u8; 16],
    /// NTP servers, by name or address; none with `--skip-ntp`.
    pub ntp_servers: Vec<String>,
    /// Which truth wins: see R5.
    pub utc_limit: UtcLimit,
    /// How fast the clock is slewed back to UTC.
    pub utc_slew: Rate,
    /// At start, errors above this are stepped.
    pub step_threshold: Span,
    /// Whether the first accepted answer of NTP may step the clock after it has locked.
    pub late_step: bool,
    /// After the first fix, an error above this is refused.
    pub panic_threshold: Span,
}

/// How far the clock may leave UTC to follow the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UtcLimit {
    /// As far as the leader leads.
    None,
    /// No further than this; zero follows UTC always.
    Within(Span),
}

/// The subdomain of every Dante network that is not pulled up or down.
pub const DEFAULT_SUBDOMAIN: [u8; 16] = *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0";

/// The NTP server that is asked when none is named.
pub const DEFAULT_NTP_SERVER: &str = "10.77.8.2";

impl Default for Config {
    fn default() -> Self {
        Self {
            subdomain: DEFAULT_SUBDOMAIN,
            ntp_servers: vec![DEFAULT_NTP_SERVER.to_owned()],
            utc_limit: UtcLimit::None,
            utc_slew: Rate::from_ppm(100.0),
            step_threshold: Span::from_ms(1),
            late_step: true,
            panic_threshold: Span::from_secs(10),
        }
    }
}
