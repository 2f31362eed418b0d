//! The file: TOML, one key per setting, read by hand so that everything that is wrong is told at once, with its line.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf, Prefix};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::allowed::Allowed;
use super::table::{SETTINGS, Setting, find};
use super::{Choice, Choices, FAULTS_MAX, Fault, Faults, Origin, Settings};
use crate::place;

/// With every setting explained by hand a file has a tenth of this.
const LENGTH_MAX: u64 = 256 * 1024;

/// What was found is shown up to here.
const FOUND_MAX: usize = 60;

/// For a path of Windows that was written as one would write any text.
const IN_SINGLE_QUOTES: &str = ", in single quotes, which leave \\ alone";

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
            let faults = Faults::new(vec![Fault { origin, name: String::new(), found, allowed }]);
            // What is wrong besides is told at once.
            let rest = parse(file, &String::from_utf8_lossy(error.as_bytes()));
            let more = rest.and_then(|choices| Settings::checked(&choices)).err();
            Err(more.into_iter().fold(faults, Faults::and).into())
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
    let mut reader = Reader::new(file, text);
    if text.contains('\r') && !text.contains('\n') {
        // All of it is one line, of which anything else that is said would be wrong.
        let (found, allowed) = ("lines that end with CR only", "lines that end with LF or CR LF");
        reader.fault(&(0..0), "", found.to_owned(), allowed.to_owned());
    } else if DeTable::parse(text).is_ok() {
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

/// The section that a statement opens.
fn header(text: &str) -> Option<&str> {
    let inner = text.trim_start().lines().next()?.strip_prefix('[')?;
    let name = inner.trim_start_matches('[').split(']').next()?.trim();
    is_bare_key(name).then_some(name)
}

/// Where a value ends that has something behind it which is no comment. A word is taken for such only where it cannot
/// be a part of a value without its quotes.
fn end_of_value(line: &str) -> Option<usize> {
    let (key, value) = line.split_once('=').filter(|(key, _)| is_bare_key(key.trim()))?;
    let mut last = '=';
    let mut may_end = |c: char| {
        let ends = c.is_whitespace() || ";,/-".contains(c) || "'\"]}".contains(last);
        last = c;
        ends
    };
    let ends = value.char_indices().filter(|(_, c)| may_end(*c)).map(|(at, _)| key.len() + 1 + at);
    let is_whole = |end: &usize| line.get(..*end).is_some_and(|line| DeTable::parse(line).is_ok());
    let end = ends.take(ENDS_MAX).find(is_whole)?;
    let (written, behind) = line.split_at_checked(end)?;
    // A quote in a text, or the first of three.
    let goes_on = behind.starts_with(|c: char| c.is_alphanumeric() || "'\"".contains(c));
    let stray = behind.trim();
    let unquoted = find(key.trim()).is_some_and(|setting| setting.allowed.is_unquoted());
    let is_apart = unquoted || stray.starts_with([';', ',', '/']) || written.ends_with(['\'', '"', ']', '}']);
    (is_apart && !goes_on && !stray.is_empty() && !stray.starts_with('#')).then_some(end)
}

/// Nobody puts more behind a value by a slip of the hand.
const ENDS_MAX: usize = 40;

/// Walks through the keys.
#[derive(Debug)]
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    choices: Choices,
    faults: Vec<Fault>,
    /// Faults that are counted and not kept.
    more: usize,
    seen: HashSet<String>,
    /// Lines that are no TOML. What comes out of them says nothing.
    broken: HashSet<usize>,
    /// Lines with a section that was told.
    sections: HashSet<usize>,
    /// The section that an earlier statement has opened.
    section: String,
}

type Place = std::ops::Range<usize>;

/// A key, as it is written.
#[derive(Debug, Clone, Copy)]
struct Key<'a> {
    /// With all that stands above it.
    path: &'a str,
    name: &'a str,
    /// Whether it stands behind a dot.
    dotted: bool,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Path, text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            file,
            text,
            lines: std::iter::once(0).chain(ends).collect(),
            choices: Choices::default(),
            faults: Vec::new(),
            more: 0,
            seen: HashSet::new(),
            broken: HashSet::new(),
            sections: HashSet::new(),
            section: String::new(),
        }
    }

    /// Reads what stands there.
    fn read(&mut self, part: &Place) {
        let text = self.text.get(part.clone()).unwrap_or_default();
        let (table, errors) = DeTable::parse_recoverable(text);
        // Some faults are found only where the text ends, behind the line they are in.
        let written = text.trim_end().len();
        for error in errors {
            let at = error.span().unwrap_or_default().start.min(written);
            self.no_toml(part.start + at, error.message().trim_end());
        }
        let opened = header(text);
        let above = if opened.is_some() { String::new() } else { self.section.clone() };
        self.take_all(&above, false, table.get_ref(), part.start);
        if let Some(opened) = opened {
            opened.clone_into(&mut self.section);
        }
    }

    /// A line that TOML does not know. Most often it is a value without its quotes.
    fn no_toml(&mut self, at: usize, message: &str) {
        let number = self.line(at);
        if self.broken.contains(&number) {
            return;
        }
        let from = self.lines.get(number - 1).copied().unwrap_or_default();
        let line = self.text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let end = if self.is_full() { None } else { end_of_value(line) };
        if let Some(written) = end.and_then(|end| line.get(..end)) {
            let (table, _) = DeTable::parse_recoverable(written);
            self.take_all(&self.section.clone(), false, table.get_ref(), from);
        }
        self.broken.insert(number);
        let place = at..at;
        let (key, value) = line.split_once('=').unwrap_or_default();
        if let Some(stray) = end.and_then(|end| line.get(end..)) {
            let found = format!("{} behind the value", short(stray));
            let allowed = "nothing behind the value but a comment, after #";
            return self.fault(&place, key.trim(), found, allowed.to_owned());
        }
        let value = value.trim();
        let Some(setting) = find(key.trim()).filter(|_| !value.is_empty()) else {
            let found = format!("a line that is no TOML: {message}");
            return self.fault(&place, "", found, "key = value".to_owned());
        };
        let quotes = match setting.allowed {
            allowed if allowed.is_unquoted() => "",
            Allowed::File if is_escaped(value) => IN_SINGLE_QUOTES,
            _ => ", in quotes",
        };
        let found = format!("{}, which is no TOML: {message}", short(value));
        self.fault(&place, setting.name, found, format!("{}{quotes}", setting.allowed));
    }

    /// `start` is where the part of the text begins in which keys and values say where they are.
    fn take_all(&mut self, above: &str, dotted: bool, table: &DeTable<'_>, start: usize) {
        let mut entries: Vec<_> = table.iter().collect();
        // A table does not keep them in the order of the file.
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let place = moved(&key.span(), start);
            if self.broken.contains(&self.line(place.start)) {
                continue;
            }
            let name: &str = key.get_ref();
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
            self.take(Key { path: &path, name, dotted }, &place, value, start);
        }
    }

    fn take(&mut self, key: Key<'_>, place: &Place, value: &Spanned<DeValue<'_>>, start: usize) {
        let known = find(key.name).filter(|_| !key.dotted);
        let tables = tables(value.get_ref());
        let (before, dotted) = (self.before(place), self.is_before_a_dot(place));
        let is_value = known.is_some() && !dotted && !before.trim_start().starts_with('[');
        if !tables.is_empty() && !is_value {
            if !dotted && self.sections.insert(self.line(place.start)) {
                let found = "a section; there are none".to_owned();
                self.fault(place, key.path, found, "keys without a section".to_owned());
            }
            return tables.iter().for_each(|table| self.take_all(key.path, dotted, table, start));
        }
        let name = known.map_or(key.path, |setting| setting.name);
        let again = !self.seen.insert(name.to_owned());
        if again {
            self.fault(place, name, "it a second time".to_owned(), "each key once".to_owned());
        }
        match known {
            Some(setting) => self.take_value(setting, start, value),
            None if again => {}
            None => self.take_unknown(key.path, place, start, value),
        }
    }

    /// What was meant by it is judged with the rest.
    fn take_unknown(&mut self, path: &str, place: &Place, start: usize, value: &Spanned<DeValue<'_>>) {
        let meant = if self.is_full() { None } else { meant(path) };
        let allowed = meant.map_or_else(every_key, |setting| format!("{} (meant?)", setting.name));
        self.fault(place, path, "an unknown key".to_owned(), allowed);
        if let Some(setting) = meant {
            self.take_value(setting, start, value);
        }
    }

    fn take_value(&mut self, setting: &'static Setting, start: usize, value: &Spanned<DeValue<'_>>) {
        if self.is_full() {
            return;
        }
        let place = moved(&value.span(), start);
        match value.get_ref() {
            DeValue::Array(items) if setting.list => {
                if items.is_empty() {
                    let allowed = format!("{}; skip-ntp = true asks none", setting.allowed);
                    self.fault(&place, setting.name, "an empty list".to_owned(), allowed);
                }
                for item in items.iter().take(FAULTS_MAX) {
                    self.take_one(setting, &moved(&item.span(), start), item.get_ref());
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
            Some(path) if setting.allowed == Allowed::File && !is_whole_path(&path) => {
                let quotes = if is_escaped(&found) { IN_SINGLE_QUOTES } else { "" };
                let allowed = format!("{}, by its whole path{quotes}", setting.allowed);
                self.fault(place, setting.name, found, allowed);
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
        let faults = Faults::of_many(self.faults, self.more);
        Err(match Settings::checked(&self.choices) {
            Ok(_) => faults,
            Err(more) => faults.and(more),
        })
    }

    fn fault(&mut self, place: &Place, name: &str, found: String, allowed: String) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let origin = self.origin(place);
        self.faults.push(Fault { origin, name: name.to_owned(), found, allowed });
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    fn origin(&self, place: &Place) -> Origin {
        Origin::Line { file: self.file.to_owned(), line: self.line(place.start) }
    }

    /// The line of this place, counted from 1.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// What stands before it in its line.
    fn before(&self, place: &Place) -> &'a str {
        let from = self.lines.get(self.line(place.start) - 1).copied().unwrap_or_default();
        self.text.get(from..place.start).unwrap_or_default()
    }

    /// Whether it is the first part of a key like `ntp.server`. In the header of a section that means nothing.
    fn is_before_a_dot(&self, place: &Place) -> bool {
        let behind = self.text.get(place.end..).unwrap_or_default();
        behind.trim_start_matches([' ', '\t', '"', '\'']).starts_with('.')
            && !self.before(place).trim_start().starts_with('[')
    }

    fn shown(&self, place: &Place) -> String {
        short(self.text.get(place.clone()).unwrap_or_default())
    }
}

fn moved(place: &Place, by: usize) -> Place {
    place.start + by..place.end + by
}

/// What stands in a section, or in each of several that have one name.
fn tables<'v, 'i>(value: &'v DeValue<'i>) -> Vec<&'v DeTable<'i>> {
    let table = |value: &'v DeValue<'i>| match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    };
    match value {
        DeValue::Array(items) => items.iter().filter_map(|item| table(item.get_ref())).collect(),
        one => table(one).into_iter().collect(),
    }
}

/// Nobody knows where the service is started; and no file has a tab in its name, but `"C:\\temp"` has.
fn is_whole_path(path: &str) -> bool {
    path == "none" || (place::expand(path).is_absolute() && !path.contains(char::is_control))
}

fn is_escaped(found: &str) -> bool {
    found.starts_with('"') && found.contains('\\')
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

fn every_key() -> String {
    let all: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    format!("only {}", all.join(", "))
}

/// The setting that was most likely meant: by `ntp.server`, `service.ntp_server` and `leap.mode` too.
fn meant(path: &str) -> Option<&'static Setting> {
    let plain = path.to_ascii_lowercase().replace('_', "-");
    let parts: Vec<&str> = plain.split('.').collect();
    let ends = (0..parts.len()).filter_map(|from| parts.get(from..)).map(|parts| parts.join("-"));
    let by_end = ends.into_iter().find_map(|key| nearest(&key));
    by_end.or_else(|| parts.iter().rev().find_map(|part| find(part)))
}

fn nearest(key: &str) -> Option<&'static Setting> {
    let all = SETTINGS.iter().map(|setting| (distance(key, setting.name), setting.name));
    // Two slips of the finger; in a short word they make another one.
    let (_, name) = all.min().filter(|(slips, name)| *slips <= 2 && 3 * slips <= name.len())?;
    find(name)
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
mod tests;
