//! Files as people write them, and what is said of them.

use super::*;

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
            &["c.toml:14: ntp.server: found an unknown key, allowed ntp-server (meant?)"],
        ],
    );
}

#[test]
fn what_stands_below_a_section_or_behind_a_misspelt_key_is_judged_with_the_rest() {
    check(
        "utc_skew = 900\n[service]\nutc-slew = 0\n[ntp]\nserver = 'http://bad'\nspam = 1\n[leap]\nmode = 'x'\n",
        &[
            &["c.toml:1: utc_skew: found an unknown key, allowed utc-slew (meant?)"],
            &["c.toml:1: utc-slew: found 900, allowed 1 to 500 ppm"],
            &["c.toml:2: service: found a section; there are none, allowed keys without a section"],
            &["c.toml:3: utc-slew: found 0, allowed 1 to 500 ppm"],
            &["c.toml:4: ntp: found a section"],
            &["c.toml:5: ntp.server: found an unknown key, allowed ntp-server (meant?)"],
            &["c.toml:5: ntp-server: found 'http://bad', allowed a host name"],
            &["c.toml:6: ntp.spam: found an unknown key, allowed only interface, capture,"],
            &["c.toml:7: leap: found a section"],
            &["c.toml:8: leap.mode: found an unknown key, allowed leap (meant?)"],
            &["c.toml:8: leap: found 'x', allowed slew or kernel"],
        ],
    );
    check(
        "ntp.server = 'http://bad'\nleap.mode = 'x'\nservice.utc-slew = 900\n",
        &[
            &["c.toml:1: ntp.server: found an unknown key, allowed ntp-server (meant?)"],
            &["c.toml:1: ntp-server: found 'http://bad', allowed a host name"],
            &["c.toml:2: leap.mode: found an unknown key, allowed leap (meant?)"],
            &["c.toml:2: leap: found 'x', allowed slew or kernel"],
            &["c.toml:3: service.utc-slew: found an unknown key, allowed utc-slew (meant?)"],
            &["c.toml:3: utc-slew: found 900, allowed 1 to 500 ppm"],
        ],
    );
    check(
        "service = { utc-slew = 900, log = { level = 'x' } }\nleap = { mode = 'x' }\n[[a.b]]\nleap = 'y'\n",
        &[
            &["c.toml:1: service: found a section"],
            &["c.toml:1: service.log.level: found an unknown key, allowed log-level (meant?)"],
            &["c.toml:1: utc-slew: found 900"],
            &["c.toml:1: log-level: found 'x', allowed warn or info"],
            &["c.toml:2: leap: found { mode = 'x' }, allowed slew or kernel, in quotes"],
            &["c.toml:3: a: found a section"],
            &["c.toml:4: leap: found it a second time"],
            &["c.toml:4: leap: found 'y', allowed slew or kernel"],
        ],
    );
    // Where the form has a fault too, and each statement is read by itself.
    check(
        "leap = slew\n[ntp]\nserver = 'a b'\n[service]\nutc-slew = 0\n",
        &[
            &["c.toml:1: leap: found slew, which is no TOML"],
            &["c.toml:2: ntp: found a section"],
            &["c.toml:3: ntp.server: found an unknown key, allowed ntp-server (meant?)"],
            &["c.toml:3: ntp-server: found 'a b'"],
            &["c.toml:4: service: found a section"],
            &["c.toml:5: utc-slew: found 0"],
        ],
    );
}

#[test]
fn what_a_key_says_the_second_time_is_judged_too() {
    check(
        "leap = 'slew'\nleap = 'x'\n",
        &[&["c.toml:2: leap: found it a second time"], &["c.toml:2: leap: found 'x', allowed slew"]],
    );
}

#[test]
fn what_stands_behind_a_value_is_named_and_the_value_judged() {
    let nothing = "allowed nothing behind the value but a comment, after #";
    check(
        "utc-slew = 50;\nleap = 'x' // soft\nntp-server = ['a'],\nskip-ntp = false -- no\nutc-limit = 2 s\n\
         utc-slew-window = none; # now\n",
        &[
            &["c.toml:1: utc-slew: found ; behind the value, ", nothing],
            &["c.toml:2: leap: found // soft behind the value, ", nothing],
            &["c.toml:2: leap: found 'x', allowed slew or kernel"],
            &["c.toml:3: ntp-server: found , behind the value, ", nothing],
            &["c.toml:4: skip-ntp: found -- no behind the value, ", nothing],
            &["c.toml:5: utc-limit: found 2 s, which is no TOML"],
            &["c.toml:6: utc-slew-window: found none; # now, which is no TOML"],
        ],
    );
    check("leap = 'it's'\n", &[&["c.toml:1: leap: found 'it's', which is no TOML"]]);
}

#[test]
fn a_path_with_backslashes_in_double_quotes_is_told_to_stand_in_single_ones() {
    let single = "in single quotes, which leave \\ alone";
    check(
        "state-file = \"C:\\Users\\new\"\nevent-file = \"C:\\data\\new\"\nstatus-socket = \"C:\\temp\\new\"\n",
        &[
            &["c.toml:1: state-file: found \"C:\\Users\\new\", which is no TOML: ", single],
            &["c.toml:2: event-file: found \"C:\\data\\new\", which is no TOML: ", single],
            &["c.toml:3: status-socket: found \"C:\\temp\\new\", allowed none, or a file, ", single],
        ],
    );
}

#[test]
fn lines_that_end_with_cr_only_are_one_fault() {
    check(
        "leap = 'slew'\rutc-slew = 900\r",
        &[&["c.toml:1: found lines that end with CR only, allowed lines that end with LF or CR LF"]],
    );
}

#[cfg(not(windows))]
#[test]
fn raw_capture_is_a_fault_of_the_file_where_the_system_has_none() {
    check(
        "\ncapture = 'raw'\n",
        &[&["c.toml:2: capture: found 'raw', allowed auto or udp: raw is for Windows only"]],
    );
    let option = Choice {
        name: "capture",
        value: "auto".to_owned(),
        found: "\"auto\"".to_owned(),
        origin: Origin::Option,
    };
    let mut options = Choices::default();
    options.add(option);
    let file = parse(Path::new("c.toml"), "capture = 'raw'").unwrap();
    assert!(Settings::from_choices(&options.over(&file)).is_ok());
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
            &["c.toml:1: interface: found 5, allowed auto, or the name of a network interface", "in quotes"],
            &["c.toml:2: subdomain: found 1.5, allowed 1 to 16 printable ASCII", "in quotes"],
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
            &["c.toml:1: skip-ntp: found true, allowed false where ntp-server (line 3) names who is asked"],
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
    // However they are written.
    check(
        &format!("state-file = '{folder}/a/../x'\nevent-file = '{folder}/./x'"),
        &[&["c.toml:2: event-file: found '", "state-file (line 1) names the same"]],
    );
    // Each is written beside, and then put in its place.
    check(
        &format!("state-file = '{folder}/x'\nevent-file = '{folder}/x.new'"),
        &[&["c.toml:2: event-file: found '", "state-file (line 1) is written by way of it"]],
    );
    check(
        &format!("state-file = '{folder}/x.new'\nevent-file = '{folder}/x'"),
        &[&["c.toml:2: event-file: found '", "it is written by way of state-file (line 1)"]],
    );
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
fn the_configuration_is_not_written_over_however_it_is_named() {
    let folder = std::env::current_dir().unwrap();
    let refused = |text: &str| {
        let choices = parse(Path::new("sub/../c.toml"), text).unwrap();
        let told = Settings::from_choices(&choices).unwrap_err().to_string();
        assert!(told.contains("c.toml:1: state-file: ") && told.contains("this file"), "{told}");
    };
    refused(&format!("state-file = '{}'", folder.join("c.toml").display()));
    let file = if cfg!(windows) { "C:/d/c.new" } else { "/d/c.new" };
    let choices =
        parse(Path::new(file), &format!("state-file = '{}'", file.trim_end_matches(".new"))).unwrap();
    let told = Settings::from_choices(&choices).unwrap_err().to_string();
    assert!(told.contains("c.new:1: state-file: ") && told.contains("by way of"), "{told}");
}

#[cfg(unix)]
#[test]
fn what_the_program_keeps_for_itself_is_no_place_for_a_setting() {
    for taken in
        ["/run/dantetimesync/lock", "/run/x/../dantetimesync.lock", "/var/lib/dantetimesync-takeover.json"]
    {
        check(
            &format!("event-file = '{taken}'"),
            &[&["c.toml:1: event-file: found '", "dantetimesync keeps"]],
        );
    }
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
    let told_of_keys = told(&keys);
    assert_eq!(told_of_keys.len(), FAULTS_MAX + 1);
    assert!(
        told_of_keys[0].starts_with("c.toml:1: k0: ") && told_of_keys[99].starts_with("c.toml:100: k99: ")
    );
    assert_eq!(told_of_keys[FAULTS_MAX], "and 19900 more");
    let deep = told(&format!("{}b = 1\nleap = 'x'\n", "a.".repeat(2_000)));
    assert!(deep.len() == 2 && deep[0].contains("recursion limit") && deep[1].contains("leap"), "{deep:?}");
    let values = format!("x = 1\nntp-server = [{}]\n", "'a b', ".repeat(100));
    assert_eq!(told(&values).last().map(String::as_str), Some("and 1 more"));
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
