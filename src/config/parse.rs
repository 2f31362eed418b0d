//! The values of settings, from text. What is no value at all is `None`; whether a value is allowed, and how that
//! is told, stands in [`super::allowed`] and [`super::table`].

use super::window::DailyWindow;
use super::{LateStep, LeapMode, UtcLimit};
use crate::log::LogFormat;
use crate::net::Capture;
use crate::ptp::is_pulled;
use crate::time::{Rate, Span};

/// `true` or `false`.
pub fn switch(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// `none`, `0`, or a time.
pub fn utc_limit(text: &str) -> Option<UtcLimit> {
    match text {
        "none" => Some(UtcLimit::None),
        "0" => Some(UtcLimit::Within(Span::ZERO)),
        _ => span(text).map(UtcLimit::Within),
    }
}

/// A number of ppm.
pub fn ppm(text: &str) -> Option<Rate> {
    number(text).map(Rate::from_ppm)
}

/// `first-fix` or `never`.
pub fn late_step(text: &str) -> Option<LateStep> {
    match text {
        "first-fix" => Some(LateStep::FirstFix),
        "never" => Some(LateStep::Never),
        _ => None,
    }
}

/// `slew` or `kernel`.
pub fn leap(text: &str) -> Option<LeapMode> {
    match text {
        "slew" => Some(LeapMode::Slew),
        "kernel" => Some(LeapMode::Kernel),
        _ => None,
    }
}

/// `none`, or `HH:MM-HH:MM`.
pub fn window(text: &str) -> Option<Option<DailyWindow>> {
    if text == "none" { Some(None) } else { DailyWindow::parse(text).ok().map(Some) }
}

/// The name of a subdomain that can be followed, NUL padded.
pub fn subdomain(text: &str) -> Option<[u8; 16]> {
    let is_printable = text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
    let is_followed = !is_pulled(text) && in_capitals(text).is_none();
    if text.is_empty() || text.len() > 16 || !is_printable || !is_followed {
        return None;
    }
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    Some(name)
}

/// The subdomain of Dante that is written so, but for its capitals: networks tell them apart.
pub fn in_capitals(text: &str) -> Option<String> {
    let capitals = text.to_ascii_uppercase();
    let is_known = |number: &str| number.bytes().all(|octet| octet.is_ascii_digit());
    let dante = capitals == "_DFLT" || capitals.strip_prefix("_ALT").is_some_and(is_known);
    (dante && capitals != text).then_some(capitals)
}

/// A finite number.
pub fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A number with its unit, from `us` to `d`. `m` is minutes; where milliseconds are as likely,
/// [`super::allowed::Allowed`] wants `min`.
pub fn span(text: &str) -> Option<Span> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit {
        "d" => 86_400.0,
        "h" => 3_600.0,
        "m" | "min" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        // With the sign for micro, or the letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|value| Span::from_secs_f64(value * scale))
}

/// `auto`, `udp` or `raw`.
pub fn capture(text: &str) -> Option<Capture> {
    match text {
        "auto" => Some(Capture::Auto),
        "udp" => Some(Capture::Udp),
        "raw" => Some(Capture::Raw),
        _ => None,
    }
}

/// `text` or `json`.
pub fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_times() {
        assert_eq!(utc_limit("none"), Some(UtcLimit::None));
        for (text, span) in [
            ("0", Span::ZERO),
            ("0s", Span::ZERO),
            ("1ms", Span::from_ms(1)),
            ("1.5s", Span::from_ms(1_500)),
            ("2000us", Span::from_ms(2)),
            ("2min", Span::from_secs(120)),
            ("24h", Span::from_secs(86_400)),
        ] {
            assert_eq!(utc_limit(text), Some(UtcLimit::Within(span)), "{text}");
        }
        for text in ["", "s", ".", "-1s", "5 s", "1.2.3s", "1e3s", "0ss", "nan", "5"] {
            assert_eq!(utc_limit(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_has_the_units_that_people_write() {
        for (text, seconds) in [
            ("3s", 3),
            ("2m", 120),
            ("2min", 120),
            ("1.5h", 5_400),
            ("7d", 604_800),
            ("5000ms", 5),
            ("5000000us", 5),
        ] {
            assert_eq!(span(text), Some(Span::from_secs(seconds)), "{text}");
        }
        for text in ["2M", "2mo", "2mins", "2hours", "3w", "5ns"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn subdomains_are_named_and_not_pulled_up() {
        assert_eq!(subdomain("_DFLT"), Some(crate::config::DEFAULT_SUBDOMAIN));
        for text in ["", "much-too-long-a-name", "_ALT2"] {
            assert_eq!(subdomain(text), None, "{text}");
        }
    }
}
