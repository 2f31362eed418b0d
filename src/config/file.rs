//! The file: TOML, one key per setting, read by hand so that everything that is wrong is told at once, with its line.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf, Prefix};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::allowed::Allowed;
use super::table::{SETTINGS, Setting, find};
use super::{Choice, Choices, Fault, Faults, Origin};
use crate::place;

/// With every setting explained by hand a file has a tenth of this.
const LENGTH_MAX: u64 = 256 * 1024;

/// Nobody mends more at once, and a file of nothing but faults shall not take long to refuse.
const FAULTS_MAX: usize = 100;

/// What was found is shown up to here.
const FOUND_MAX: usize = 60;

/// Why a file gave no choices.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {reason}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// It is something else than a file.
    #[error("the configuration file {} is {what}, and no file", .file.display())]
    NoFile {
        /// What was named.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It can be read, and is wrong.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { reason, .. } if reason.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a file. Values are not checked yet, but for their form.
///
/// # Errors
/// When it cannot be read; when it is no TOML or has unknown keys, with all of that at once and what is wrong with
/// the values besides.
pub fn read(file: &Path) -> Result<Choices, FileError> {
    let unreadable = |reason| FileError::Unreadable { file: file.to_owned(), reason };
    if let Some(what) = what_else(file).map_err(unreadable)? {
        return Err(FileError::NoFile { file: file.to_owned(), what });
    }
    let mut bytes = Vec::new();
    let length = File::open(file).and_then(|open| open.take(LENGTH_MAX + 1).read_to_end(&mut bytes));
    if length.map_err(unreadable)?.try_into().is_ok_and(|length: u64| length > LENGTH_MAX) {
        let reason = format!("it is longer than {LENGTH_MAX} bytes");
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(file, &text)?),
        Err(error) => {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = 1 + good.iter().filter(|octet| **octet == b'\n').count();
            let origin = Origin::Line { file: file.to_owned(), line };
            let (found, allowed) = ("bytes that are no UTF-8".to_owned(), "UTF-8 text".to_owned());
            Err(Faults::new(vec![Fault { origin, name: String::new(), found, allowed }]).into())
        }
    }
}

/// What it is instead of a file: to open a FIFO would be to wait for ever. What a shell
/// hands over is read all the same, and so is nothing at all, which is often named as a file without settings.
fn what_else(file: &Path) -> io::Result<Option<&'static str>> {
    if is_device(file) {
        return Ok(Some("a device"));
    }
    let handed_over = ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| file.starts_with(place));
    if handed_over || file.canonicalize().is_ok_and(|file| file == Path::new("/dev/null")) {
        return Ok(None);
    }
    let kind = fs::metadata(file)?.file_type();
    Ok(match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () => Some(special(kind)),
    })
}

/// `\\.\pipe\x` and the like, which Windows takes for files until they are opened.
fn is_device(file: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = file.components().next() else { return false };
    matches!(prefix.kind(), Prefix::DeviceNS(_))
}

#[cfg(unix)]
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match () {
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(windows)]
fn special(_: fs::FileType) -> &'static str {
    "a device"
}

/// Reads the text of a file.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(file: &Path, text: &str) -> Result<Choices, Faults> {
    let mut reader = Reader { file, text, choices: Choices::default(), faults: Vec::new(), seen: Vec::new() };
    if DeTable::parse(text).is_ok() {
        reader.read(&(0..text.len()));
    } else {
        // One fault in the form must neither hide the others nor make more of them: each statement by itself.
        for place in statements(text) {
            reader.read(&place);
        }
    }
    reader.end()
}

/// Where each statement stands: from a line that begins with a key, or a section, up to the next one.
fn statements(text: &str) -> Vec<Place> {
    let mut starts = vec![0];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let begins = line.split_once('=').is_some_and(|(key, _)| is_bare_key(key.trim()));
        if begins || line.trim_start().starts_with('[') {
            starts.push(start);
        }
        start += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| *start..end).collect()
}

fn is_bare_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Walks through the keys.
#[derive(Debug)]
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    choices: Choices,
    faults: Vec<Fault>,
    seen: Vec<String>,
}

type Place = std::ops::Range<usize>;

impl Reader<'_> {
    /// Reads what stands there.
    fn read(&mut self, part: &Place) {
        if self.is_full() {
            return;
        }
        let text = self.text.get(part.clone()).unwrap_or_default();
        let (table, errors) = DeTable::parse_recoverable(text);
        // Some faults are found only where the text ends, behind the line they are in.
        let written = text.trim_end().len();
        let here =
            |place: Place| part.start + place.start.min(written)..part.start + place.end.min(text.len());
        for error in errors.into_iter().take(FAULTS_MAX) {
            let at = here(error.span().unwrap_or_default());
            if !self.is_faulty(&at) {
                self.no_toml(&at, error.message().trim_end());
            }
        }
        for (key, value) in table.get_ref() {
            let value = Spanned::new(here(value.span()), value.get_ref().clone());
            self.take(key.get_ref(), &here(key.span()), part.start, &value);
        }
    }

    /// A line that TOML does not know. Most often it is a value without its quotes.
    fn no_toml(&mut self, at: &Place, message: &str) {
        let before = self.text.get(..at.start).unwrap_or_default();
        let from = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let parts = line.split_once('=').and_then(|(key, value)| Some((find(key.trim())?, value.trim())));
        let Some((setting, value)) = parts.filter(|(_, value)| !value.is_empty()) else {
            let found = format!("a line that is no TOML: {message}");
            return self.fault(at, "", found, "key = value".to_owned());
        };
        let quoted = matches!(setting.allowed, Allowed::Switch | Allowed::Ppm { .. });
        let quotes = if quoted { "" } else { ", in quotes" };
        let found = format!("{}, which is no TOML: {message}", short(value));
        self.fault(at, setting.name, found, format!("{}{quotes}", setting.allowed));
    }

    fn take(&mut self, key: &str, place: &Place, start: usize, value: &Spanned<DeValue<'_>>) {
        // What comes out of a line that is no TOML says nothing.
        if self.is_full() || self.is_faulty(place) {
            return;
        }
        if self.seen.iter().any(|seen| seen == key) {
            return self.fault(place, key, "it a second time".to_owned(), "each key once".to_owned());
        }
        self.seen.push(key.to_owned());
        match find(key) {
            Some(setting) => self.take_value(setting, start, value),
            None => self.fault(place, key, unknown(value), meant(key)),
        }
    }

    /// `start` is where the part of the text begins in which the items of a list say where they are.
    fn take_value(&mut self, setting: &'static Setting, start: usize, value: &Spanned<DeValue<'_>>) {
        let place = value.span();
        match value.get_ref() {
            DeValue::Array(items) if setting.list => {
                if items.is_empty() {
                    let allowed = format!("{}; skip-ntp = true asks none", setting.allowed);
                    self.fault(&place, setting.name, "an empty list".to_owned(), allowed);
                }
                for item in items.iter().take(FAULTS_MAX) {
                    let place = start + item.span().start..start + item.span().end;
                    self.take_one(setting, &place, item.get_ref());
                }
            }
            one => self.take_one(setting, &place, one),
        }
    }

    fn take_one(&mut self, setting: &'static Setting, place: &Place, value: &DeValue<'_>) {
        let is_switch = setting.allowed == Allowed::Switch;
        // A name is not written as a number: `5` is more likely a slip of the hand than an interface called so.
        let is_number = matches!(setting.allowed, Allowed::Ppm { .. } | Allowed::Time { .. });
        let text = match value {
            DeValue::String(text) if !is_switch => Some(text.to_string()),
            DeValue::Boolean(it) if is_switch => Some(it.to_string()),
            DeValue::Integer(it) if is_number && it.radix() == 10 => Some(it.as_str().to_owned()),
            DeValue::Float(it) if is_number => Some(it.as_str().to_owned()),
            _ => None,
        };
        let found = self.shown(place);
        match text {
            // Nobody knows where the service is started.
            Some(path)
                if setting.allowed == Allowed::File
                    && path != "none"
                    && !place::expand(&path).is_absolute() =>
            {
                self.fault(place, setting.name, found, format!("{}, by its whole path", setting.allowed));
            }
            Some(value) => {
                let origin = self.origin(place);
                self.choices.add(Choice { name: setting.name, value, found, origin });
            }
            None => {
                let list = if setting.list { ", or a list of them" } else { "" };
                let quotes = match (is_switch, is_number) {
                    (true, _) => ", without quotes",
                    (_, true) => "",
                    _ => ", in quotes",
                };
                self.fault(place, setting.name, found, format!("{}{list}{quotes}", setting.allowed));
            }
        }
    }

    /// With what was read, so that faults in values are told together with those in the form.
    fn end(self) -> Result<Choices, Faults> {
        if self.faults.is_empty() {
            return Ok(self.choices);
        }
        let mut faults = self.faults;
        if let Err(more) = super::Settings::from_choices(&self.choices) {
            faults.extend(more.0);
        }
        Err(Faults::new(faults))
    }

    fn fault(&mut self, place: &Place, name: &str, found: String, allowed: String) {
        let origin = self.origin(place);
        self.faults.push(Fault { origin, name: name.to_owned(), found, allowed });
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    fn origin(&self, place: &Place) -> Origin {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        Origin::Line { file: self.file.to_owned(), line: 1 + before.matches('\n').count() }
    }

    fn is_faulty(&self, place: &Place) -> bool {
        let origin = self.origin(place);
        self.faults.iter().any(|fault| fault.origin == origin)
    }

    fn shown(&self, place: &Place) -> String {
        short(self.text.get(place.clone()).unwrap_or_default())
    }
}

/// As it stands in the file, on one line and not too long.
fn short(text: &str) -> String {
    let mut shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = shown.char_indices().nth(FOUND_MAX) {
        shown.truncate(cut);
        shown.push_str(" ...");
    }
    shown.replace(|c: char| c.is_control(), "?")
}

fn unknown(value: &Spanned<DeValue<'_>>) -> String {
    let what = match value.get_ref() {
        DeValue::Table(_) => "a section; there are none",
        _ => "an unknown key",
    };
    what.to_owned()
}

/// The setting that was most likely meant, or all of them.
fn meant(key: &str) -> String {
    let plain = key.to_ascii_lowercase().replace('_', "-");
    let nearest = SETTINGS.iter().map(|setting| (distance(&plain, setting.name), setting.name)).min();
    match nearest {
        // Two slips of the finger; in a short word they make another one.
        Some((slips, name)) if slips <= 2 && 3 * slips <= name.len() => format!("{name} (meant?)"),
        _ => {
            let all: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
            format!("only {}", all.join(", "))
        }
    }
}

/// How many characters must be put in, left out or exchanged.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), pair) in b.bytes().zip(row.iter().skip(1)).zip(row.iter()) {
            let left = next.last().copied().unwrap_or_default();
            next.push((pair + usize::from(from != to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn told(text: &str) -> Vec<String> {
        let choices = match parse(Path::new("c.toml"), text) {
            Ok(choices) => choices,
            Err(faults) => return faults.to_string().lines().map(str::to_owned).collect(),
        };
        match Settings::from_choices(&choices) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
        }
    }

    /// Each fault has its line and its parts, and there is no other.
    fn check(text: &str, expected: &[&[&str]]) {
        let told = told(text);
        assert_eq!(told.len(), expected.len(), "{text}\n{}", told.join("\n"));
        for (line, parts) in told.iter().zip(expected) {
            for part in *parts {
                assert!(line.contains(part), "no {part:?} in {line}");
            }
        }
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        let text = "interface = 'eth0'\nntp-server = ['a', \"b:1123\"]\nutc-slew = 1_2.5\nutc-limit = 0\n\
                    skip-ntp = false\nlog-level = 'debug' # more\n";
        let settings = Settings::from_choices(&parse(Path::new("c.toml"), text).unwrap()).unwrap();
        assert_eq!(settings.interface.as_deref(), Some("eth0"));
        assert_eq!(settings.config.ntp_servers, ["a", "b:1123"]);
        assert_eq!(settings.config.utc_slew, crate::time::Rate::from_ppm(12.5));
        assert_eq!(settings.config.utc_limit, crate::config::UtcLimit::Within(crate::time::Span::ZERO));
        let one = parse(Path::new("c.toml"), "ntp-server = 'a'\r\n").unwrap();
        assert_eq!(Settings::from_choices(&one).unwrap().config.ntp_servers, ["a"]);
        check("", &[]);
        check("\u{feff}# nothing\n", &[]);
    }

    #[test]
    fn all_faults_are_told_with_file_line_key_value_and_range() {
        check(
            "utc_limit = '1s'\n\nutc-slew = 900\nntp-server = [\n  'good',\n  'http://bad',\n]\nskip-ntp = 'yes'\n\
             dry-run = 1\nlog-level = true\nstate-file = 'here'\nfrobnicate = 1\n[ntp]\nserver = 'x'\n",
            &[
                &["c.toml:1: utc_limit: found an unknown key, allowed utc-limit"],
                &["c.toml:3: utc-slew: found 900, allowed 1 to 500 ppm"],
                &["c.toml:6: ntp-server: found 'http://bad', allowed a host name"],
                &["c.toml:8: skip-ntp: found 'yes', allowed true or false, without quotes"],
                &["c.toml:9: dry-run: found 1, allowed true or false"],
                &["c.toml:10: log-level: found true, allowed warn or info"],
                &["c.toml:11: state-file: found 'here', allowed none, or a file, by its whole path"],
                &[
                    "c.toml:12: frobnicate: found an unknown key, allowed only interface, capture, ntp-server,",
                    "leap",
                ],
                &["c.toml:13: ntp: found a section"],
            ],
        );
    }

    #[test]
    fn lines_that_are_no_toml_neither_hide_other_faults_nor_make_more() {
        check(
            "utc-slew = 900\nleap = slew\nleap 5\nstep-threshold = '1ms'\nstep-threshold = '2ms'\nutc-limit = \n",
            &[
                &["c.toml:1: utc-slew"],
                &["c.toml:2: leap: found slew, which is no TOML: ", "allowed slew or kernel, in quotes"],
                &["c.toml:3: found a line that is no TOML: "],
                &["c.toml:5: step-threshold: found it a second time, allowed each key once"],
                &["c.toml:6: found a line that is no TOML: "],
            ],
        );
        // What is not closed ends with the next key.
        check(
            "ntp-server = ['a',\nleap = 'sle\nutc-slew = 0\nlate-step = \"\"\"x\n[x\nskip-ntp = false\n",
            &[
                &["c.toml:1: ntp-server: found ['a',, which is no TOML: "],
                &["c.toml:2: leap: found 'sle, which is no TOML: "],
                &["c.toml:3: utc-slew: found 0,"],
                &["c.toml:4: late-step: found \"\"\"x, which is no TOML: "],
                &["c.toml:5: found a line that is no TOML: "],
            ],
        );
        check("interface: eth0\nleap: slew\n", &[&["c.toml:1: found a line"], &["c.toml:2: found a line"]]);
        check(
            "ntp-server = [\n'a',\n'b c',\n]\nutc-slew = 5 ppm\n",
            &[&["c.toml:3: ntp-server: found 'b c'"], &["c.toml:5:"]],
        );
    }

    #[test]
    fn a_number_is_no_name_and_every_wrong_one_is_told() {
        check(
            "interface = 5\nsubdomain = 1.5\nntp-server = ['good', 7]\nutc-slew = 5\nlog-level = 3\n",
            &[
                &[
                    "c.toml:1: interface: found 5, allowed auto, or the name of a network interface",
                    "in quotes",
                ],
                &["c.toml:2: subdomain: found 1.5, allowed 1 to 16 ASCII", "in quotes"],
                &["c.toml:3: ntp-server: found 7, allowed a host name", "in quotes"],
                &["c.toml:5: log-level: found 3, allowed warn or info", "in quotes"],
            ],
        );
        // A name may consist of digits.
        check("interface = '5'", &[]);
        check(
            "interface = 'eth0/1'\nutc-slew = 0",
            &[&["c.toml:1: interface: found 'eth0/1', allowed auto, or", "/"], &["c.toml:2: utc-slew"]],
        );
    }

    #[test]
    fn bad_combinations_are_told_with_the_line_to_mend() {
        check(
            "utc-limit = '10s'",
            &[&["c.toml:1: utc-limit: found '10s', allowed less than panic-threshold, which is 10 s"]],
        );
        check("utc-limit = '10s'\npanic-threshold = '20s'", &[]);
        check("utc-limit = 0\n\nutc-slew-window = '02:00-05:00'", &[&["c.toml:3: utc-slew-window"]]);
        check("skip-ntp = true\nutc-limit = '1s'", &[&["c.toml:2: utc-limit", "skip-ntp"]]);
        check(
            "ntp-server = ['a',\n'b',\n'a']",
            &[&["c.toml:3: ntp-server: found 'a', allowed each server once"]],
        );
        check("ntp-server = []", &[&["c.toml:1: ntp-server: found an empty list", "skip-ntp"]]);
        check(
            "skip-ntp = true\nleap = 'x'\nntp-server = ['a', 'b']",
            &[
                &[
                    "c.toml:1: skip-ntp: found true, allowed false where ntp-server (line 3) names who is asked",
                ],
                &["c.toml:2: leap"],
            ],
        );
        check("skip-ntp = false\nntp-server = ['a', 'b']", &[]);
        // One fault is enough.
        check("utc-limit = '1min'\npanic-threshold = 'x'", &[&["c.toml:2: panic-threshold"]]);
    }

    #[test]
    fn one_place_for_two_things_is_told_with_both_lines() {
        let folder = if cfg!(windows) { "C:/d" } else { "/d" };
        check(
            &format!("event-file = '{folder}/x'\nleap = 'x'\nstate-file = '{folder}//./x'"),
            &[&["c.toml:2: leap"], &["c.toml:3: state-file: found '", "event-file (line 1)"]],
        );
        check(
            &format!("status-socket = '{folder}/x'\nstate-file = '{folder}/x'\nevent-file = '{folder}/x'"),
            &[&["c.toml:2: state-file", "status-socket (line 1)"], &["c.toml:3: event-file", "(line 1)"]],
        );
        // By default the history lies beside the state.
        check(
            &format!("state-file = '{folder}/events.jsonl'"),
            &[&["c.toml:1: state-file: found", "event-file (by default)"]],
        );
        check(
            &format!("event-file = '{}'", crate::place::STATE_FILE),
            &[&["c.toml:1: event-file: found", "state-file (by default)"]],
        );
        check(&format!("state-file = '{folder}/x'\nevent-file = '{folder}/y'"), &[]);
        check("state-file = 'none'\nevent-file = 'none'\nstatus-socket = 'none'", &[]);
        let option = Choice {
            name: "event-file",
            value: format!("{folder}/x"),
            found: "\"x\"".to_owned(),
            origin: Origin::Option,
        };
        let mut options = Choices::default();
        options.add(option);
        let file = parse(Path::new("c.toml"), &format!("state-file = '{folder}/x'")).unwrap();
        let told = Settings::from_choices(&options.over(&file)).unwrap_err().to_string();
        assert!(told.starts_with("c.toml:1: state-file: ") && told.contains("--event-file"), "{told}");
    }

    #[test]
    fn the_configuration_is_not_written_over() {
        let file = if cfg!(windows) { "C:/d/c.toml" } else { "/d/c.toml" };
        let choices = parse(Path::new(file), &format!("leap = 'slew'\nstate-file = '{file}'")).unwrap();
        let told = Settings::from_choices(&choices).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{file}:2: state-file: ")) && told.contains("this file"), "{told}");
    }

    #[test]
    fn a_value_is_shown_in_short_and_without_control_characters() {
        let long = format!("leap = '{}'", "x".repeat(500));
        check(&long, &[&["c.toml:1: leap: found 'xxx", "xxx ..., allowed slew or kernel"]]);
        assert!(told("leap = \"\"\"a\nb\"\"\"")[0].contains("found \"\"\"a b\"\"\","));
    }

    #[test]
    fn a_long_file_of_nothing_but_faults_is_refused_without_telling_them_all() {
        for line in ["a=\n", "a = 1\n", "[\n", "leap = 'x'\n", "=\n"] {
            let told = told(&line.repeat(20_000));
            assert!(!told.is_empty() && told.len() <= FAULTS_MAX + 1, "{line:?}: {}", told.len());
        }
        let keys: String = (0..20_000).map(|number| format!("k{number} = 1\n")).collect();
        assert_eq!(told(&keys).len(), FAULTS_MAX);
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_a_file_it_is_read_or_each_fault_has_a_line_of_it(
            text in "([a-z-]{0,3}|leap|utc-limit|ntp-server|skip-ntp|[=#'\"\\[\\]{},.:\n\r µ]|\"\"\"|[0-9]{1,3}|true){0,40}"
        ) {
            if let Err(faults) = parse(Path::new("c.toml"), &text) {
                for fault in faults.all() {
                    let Origin::Line { line, .. } = fault.origin else { panic!("{fault}") };
                    proptest::prop_assert!(line >= 1 && line <= 1 + text.matches('\n').count(), "{text:?}: {fault}");
                }
                proptest::prop_assert!(!faults.all().is_empty());
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert!(read(&path).unwrap_err().is_missing());
        std::fs::write(&path, b"leap = 'slew'\n# \xff\n").unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains("config.toml:2: found bytes that are no UTF-8"), "{said}");
        std::fs::write(&path, "#".repeat(300_000)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("longer than 262144 bytes"));
        assert!(!read(folder.path()).unwrap_err().is_missing());
    }
}
