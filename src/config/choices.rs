//! What was asked for, as text; what is not there has its default.

use std::path::{Path, PathBuf};

use super::table;

/// Values of settings, and who gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices(Vec<Choice>);

/// A value of a setting. A list is several choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The setting.
    pub name: &'static str,
    /// Its value: a number as it is written, a switch as `true` or `false`.
    pub value: String,
    /// The value as it was written, quotes and all.
    pub found: String,
    /// Where.
    pub origin: Origin,
}

/// Where a choice was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere in particular: a scenario, a test, a default.
    Unsaid,
    /// On the command line.
    Option,
    /// In a file.
    Line {
        /// The file, as it was named.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
}

impl Origin {
    /// Whether both were made in one file, or on one command line.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Option, Self::Option) => true,
            (Self::Line { file, .. }, Self::Line { file: other, .. }) => file == other,
            _ => false,
        }
    }
}

impl Choices {
    /// The same with one value more; nothing for `None`. Names that are no settings are left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Into<String>>) -> Self {
        if let (Some(setting), Some(value)) = (table::find(name), value) {
            let value = value.into();
            let found = format!("{value:?}");
            self.add(Choice { name: setting.name, value, found, origin: Origin::Unsaid });
        }
        self
    }

    /// Adds a choice.
    pub fn add(&mut self, choice: Choice) {
        self.0.push(choice);
    }

    /// These, and of the others those that these do not speak of.
    #[must_use]
    pub fn over(mut self, others: &Self) -> Self {
        let silent = |choice: &&Choice| self.of(choice.name).next().is_none();
        let added: Vec<Choice> = others.0.iter().filter(silent).cloned().collect();
        self.0.extend(added);
        self
    }

    /// The file that some of them come from.
    pub fn file(&self) -> Option<&Path> {
        self.0.iter().find_map(|choice| match &choice.origin {
            Origin::Line { file, .. } => Some(file.as_path()),
            Origin::Unsaid | Origin::Option => None,
        })
    }

    /// The values of one setting.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &Choice> {
        self.0.iter().filter(move |choice| choice.name == name)
    }
}
