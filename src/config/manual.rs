//! What is written about the settings: the file that is shipped, and the manual's page about it.

use std::fmt::Write as _;

use super::allowed::Allowed;
use super::table::{SETTINGS, Setting};

/// Lines of comments end before this column.
const WIDTH: usize = 100;

/// The file as it is shipped: every key, commented out, with its default and what is allowed.
pub fn default_file() -> String {
    let mut text = "\
# dantetimesync: the settings of the service.
#
# Everything here is commented out and shows its default. Options on the command line win over this file.
# Check it before use: dantetimesync check-config
# What is marked \"while running\" is taken over by: systemctl reload dantetimesync
# The service never writes this file.
"
    .to_owned();
    for setting in &SETTINGS {
        text.push('\n');
        comment(&mut text, &format!("{}.", setting.help));
        let running = if setting.live { " Changes while running." } else { "" };
        comment(&mut text, &format!("Allowed: {}.{running}", allowed(setting)));
        writeln!(text, "#{}", assignment(setting)).expect("a string takes everything");
    }
    text
}

/// The manual's page about the file (section 5), in the language of `man`.
pub fn page() -> String {
    let mut page = format!(
        ".TH DANTETIMESYNC.TOML 5 \"\" \"dantetimesync {}\" \"File formats\"\n\
         .SH NAME\ndantetimesync.toml \\- settings of the dantetimesync service\n\
         .SH SYNOPSIS\n/etc/dantetimesync/config.toml\n\
         .SH DESCRIPTION\n\
         A TOML file with one key per setting, each of them also an option of\n.BR dantetimesync (1).\n\
         Options win over the file. Without the file, or without a key, the default holds. The service never writes \
         the file.\n.PP\n\
         A file with a fault is refused as a whole, with every fault on a line of its own: file, line, key, what was \
         found and what is allowed. The exit code is 78.\n.B dantetimesync check\\-config\ndoes that without \
         starting anything.\n.PP\n\
         A running service reads the file again on SIGHUP\n.RB ( \"systemctl reload dantetimesync\" ).\n\
         Settings that say so below change at once and without a jump of the clock; of others the service says that \
         they need a restart. If the file has a fault then, the old settings stay.\n\
         .SH SETTINGS\n",
        env!("CARGO_PKG_VERSION")
    );
    for setting in &SETTINGS {
        let running = if setting.live { " Changes while running." } else { "" };
        writeln!(
            page,
            ".TP\n.B {}\n{}.{running}\n.br\nAllowed: {}.",
            escaped(&assignment(setting)),
            escaped(setting.help),
            escaped(&allowed(setting))
        )
        .expect("a string takes everything");
    }
    page.push_str(
        ".SH EXAMPLE\n.EX\ninterface = \"eth1\"\nntp\\-server = [\"192.168.1.1\", \"pool.ntp.org\"]\n\
         utc\\-limit = \"500ms\"\nutc\\-slew\\-window = \"02:00\\-05:00\"\n.EE\n\
         .SH SEE ALSO\n.BR dantetimesync (1)\n",
    );
    page
}

/// What the file may say.
fn allowed(setting: &Setting) -> String {
    let more = match setting.allowed {
        Allowed::File => ", by its whole path",
        _ if setting.list => "; or a list of them",
        _ => "",
    };
    format!("{}{more}", setting.allowed)
}

/// The key with its default, in TOML.
fn assignment(setting: &Setting) -> String {
    let Setting { name, default, allowed, list, .. } = setting;
    match allowed {
        Allowed::Switch | Allowed::Ppm { .. } => format!("{name} = {default}"),
        _ if *list => format!("{name} = [\"{default}\"]"),
        _ if default.contains('\\') => format!("{name} = '{default}'"),
        _ => format!("{name} = \"{default}\""),
    }
}

/// Writes a comment, broken between words.
fn comment(text: &mut String, words: &str) {
    let mut column = WIDTH;
    for word in words.split(' ') {
        let width = 1 + word.chars().count();
        if column + width > WIDTH {
            text.push_str(if text.ends_with('\n') { "#" } else { "\n#" });
            column = 1;
        }
        write!(text, " {word}").expect("a string takes everything");
        column += width;
    }
    text.push('\n');
}

/// What `man` would take for its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Choices, Settings, file};

    fn settings(text: &str) -> Settings {
        Settings::from_choices(&file::parse(Path::new("c.toml"), text).unwrap()).unwrap()
    }

    #[test]
    fn the_shipped_file_shows_every_setting_and_changes_nothing() {
        let shipped = default_file();
        let default = Settings::from_choices(&Choices::default()).unwrap();
        assert_eq!(settings(&shipped), default);
        assert!(shipped.lines().all(|line| line.len() <= WIDTH + 5), "{shipped}");
        // With every key switched on it says the same.
        let on: Vec<&str> = shipped.lines().filter_map(|line| line.strip_prefix('#')).collect();
        let on: Vec<&str> =
            on.into_iter().filter(|line| !line.starts_with(' ') && !line.is_empty()).collect();
        assert_eq!(on.len(), SETTINGS.len(), "{on:?}");
        assert_eq!(settings(&on.join("\n")), default);
    }

    #[test]
    fn the_manual_has_every_setting_with_its_range() {
        let page = page();
        for setting in &SETTINGS {
            assert!(page.contains(&format!(".B {}", escaped(setting.name))), "{}", setting.name);
        }
        assert!(page.contains("1 to 500 ppm") && page.contains("utc\\-slew = 100"), "{page}");
        assert!(page.lines().all(|line| !line.starts_with('\'')), "{page}");
    }
}
