//! Names in commands that somebody may paste. Those from the network are looked at before, since who sends a name must
//! not choose the command, and PowerShell looks into quotes (`snapshot::obstacle::is_strange`).

/// A word that a shell, of Linux or Windows, leaves as it is; in quotes where it must be.
pub fn in_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if cfg!(windows) {
        format!("\"{}\"", word.replace('"', ""))
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A text as TOML has it.
pub fn in_toml(text: &str) -> String {
    if text.contains(['"', '\\']) && !text.contains('\'') {
        format!("'{text}'")
    } else {
        format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_command_stays_a_name() {
        assert_eq!(in_shell("STUDIO"), "STUDIO");
        let quotes = if cfg!(windows) { '"' } else { '\'' };
        for name in ["MY ROOM", "$(reboot)", ";reboot", "`id`", "a|b", "", "a\\b"] {
            assert_eq!(in_shell(name), format!("{quotes}{name}{quotes}"));
        }
        if cfg!(unix) {
            assert_eq!(in_shell("a'b"), r"'a'\''b'");
        }
    }

    #[test]
    fn a_text_is_what_toml_reads() {
        for text in ["STUDIO", "MY ROOM", "a\"b", r"C:\x", "it's", "'\"\\", "pool.ntp.org"] {
            let read: toml::Table = format!("key = {}", in_toml(text)).parse().unwrap();
            assert_eq!(read["key"].as_str(), Some(text));
        }
    }
}
