use std::path::Path;

use super::*;

fn faults(choices: &Choices) -> Vec<String> {
    Config::from_choices(choices)
        .map_or_else(|faults| faults.all().iter().map(|fault| fault.name.clone()).collect(), |_| Vec::new())
}

fn given(pairs: &[(&str, &str)]) -> Choices {
    pairs.iter().fold(Choices::default(), |choices, (name, value)| choices.with(name, Some(*value)))
}

#[test]
fn every_row_of_the_table_is_read_and_nothing_else() {
    let choices = Choices::default();
    let mut reader = Reader::new(&choices);
    reader.config();
    let decided: Vec<&str> = reader.read.clone();
    let all = [
        "interface",
        "capture",
        "dry-run",
        "force-steer",
        "real-time",
        "state-file",
        "status-socket",
        "event-file",
        "log-level",
        "log-format",
    ];
    let mut read: Vec<&str> = decided.into_iter().chain(all).collect();
    let mut rows: Vec<&str> = table::SETTINGS.iter().map(|setting| setting.name).collect();
    read.sort_unstable();
    rows.sort_unstable();
    assert_eq!(read, rows);
}

#[test]
fn every_choice_arrives() {
    let choices = given(&[
        ("subdomain", "_OWN"),
        ("ntp-server", "a"),
        ("ntp-server", "b"),
        ("utc-limit", "500ms"),
        ("utc-slew", "50"),
        ("utc-slew-window", "02:00-05:00"),
        ("step-threshold", "5ms"),
        ("late-step", "never"),
        ("panic-threshold", "1min"),
        ("leap", "kernel"),
        ("interface", "eth0"),
        ("force-steer", "true"),
        ("real-time", "never"),
        ("state-file", "none"),
        ("status-socket", "/a/status"),
        ("event-file", "/a/events"),
        ("log-level", "warn"),
        ("log-format", "json"),
    ]);
    let settings = Settings::from_choices(&choices).unwrap();
    let config = &settings.config;
    assert_eq!(&config.subdomain[..6], b"_OWN\0\0");
    assert_eq!(config.ntp_servers, ["a", "b"]);
    assert_eq!(config.utc_limit, UtcLimit::Within(Span::from_ms(500)));
    assert_eq!(config.utc_slew, Rate::from_ppm(50.0));
    assert_eq!(config.utc_slew_window, Some(DailyWindow::parse("02:00-05:00").unwrap()));
    assert_eq!((config.step_threshold, config.panic_threshold), (Span::from_ms(5), Span::from_secs(60)));
    assert_eq!((config.late_step, config.leap), (LateStep::Never, LeapMode::Kernel));
    assert_eq!((settings.interface.as_deref(), settings.state_file), (Some("eth0"), None));
    assert!(settings.force_steer && !settings.real_time && !settings.dry_run);
    assert_eq!((settings.log_level, settings.log_format), (LevelFilter::WARN, LogFormat::Json));
    let (status, events) = (settings.status_socket.unwrap(), settings.event_file.unwrap());
    assert_eq!((status, events), (PathBuf::from("/a/status"), PathBuf::from("/a/events")));
}

#[test]
fn without_choices_the_defaults_hold() {
    let settings = Settings::from_choices(&Choices::default()).unwrap();
    assert_eq!(settings.config, Config::default());
    assert_eq!(settings.config.utc_limit, UtcLimit::None);
    assert_eq!(settings.config.utc_slew, Rate::from_ppm(100.0));
    assert_eq!(settings.config.step_threshold, Span::from_ms(1));
    assert_eq!(settings.config.subdomain, DEFAULT_SUBDOMAIN);
    assert_eq!((settings.interface, settings.dry_run, settings.force_steer), (None, false, false));
    assert!(settings.real_time && settings.state_file.is_some());
}

#[test]
fn all_faults_are_told_at_once_with_value_and_range() {
    let choices = given(&[
        ("utc-limit", "5"),
        ("utc-slew", "900"),
        ("utc-slew-window", "2-5"),
        ("step-threshold", "2h"),
        ("late-step", "often"),
        ("panic-threshold", "1ms"),
        ("leap", "smear"),
        ("subdomain", "_ALT1"),
    ]);
    let told = Config::from_choices(&choices).unwrap_err().to_string();
    assert_eq!(told.lines().count(), 8, "{told}");
    for (name, value, allowed) in [
        ("subdomain", "_ALT1", "cannot follow"),
        ("utc-limit", "5", "like 500ms"),
        ("utc-slew", "900", "1 to 500 ppm"),
        ("utc-slew-window", "2-5", "02:00-05:00"),
        ("step-threshold", "2h", "10us to 1h"),
        ("late-step", "often", "first-fix or never"),
        ("panic-threshold", "1ms", "1s to 24h"),
        ("leap", "smear", "slew or kernel"),
    ] {
        let line = told.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap();
        assert!(line.contains(&format!("found {value:?}")) && line.contains(allowed), "{line}");
    }
}

#[test]
fn choices_that_contradict_each_other_are_refused() {
    let window = ("utc-slew-window", "02:00-05:00");
    assert_eq!(faults(&given(&[("utc-limit", "0"), window])), ["utc-slew-window"]);
    assert_eq!(faults(&given(&[("utc-limit", "10s")])), ["utc-limit"]);
    assert_eq!(faults(&given(&[("utc-limit", "10s"), ("panic-threshold", "20s")])), [""; 0]);
    assert_eq!(faults(&given(&[("utc-limit", "none"), window])), [""; 0]);
    assert_eq!(faults(&given(&[("utc-limit", "1s"), ("skip-ntp", "true")])), ["utc-limit"]);
    assert_eq!(faults(&given(&[("ntp-server", "a"), ("ntp-server", "a")])), ["ntp-server"]);
    let many: Vec<String> = (0..17).map(|number| format!("server{number}")).collect();
    let many = many.iter().fold(Choices::default(), |all, name| all.with("ntp-server", Some(name.as_str())));
    assert_eq!(faults(&many), ["ntp-server"]);
}

#[test]
fn one_server_is_known_however_its_name_is_written() {
    for (one, other) in [
        ("Pool.NTP.org", "pool.ntp.org"),
        ("pool.ntp.org.", "pool.ntp.org"),
        ("pool.ntp.org:123", "POOL.ntp.org."),
        ("a.:1123", "a:1123"),
        ("10.0.0.1", "10.0.0.1:0123"),
    ] {
        assert_eq!(
            faults(&given(&[("ntp-server", one), ("ntp-server", other)])),
            ["ntp-server"],
            "{one} {other}"
        );
    }
    assert_eq!(faults(&given(&[("ntp-server", "a"), ("ntp-server", "a:1123")])), [""; 0]);
}

#[test]
fn what_is_meant_by_a_value_that_looks_like_another_is_said() {
    for (name, value, hint) in [
        ("ntp-server", "none", "skip-ntp = true asks none"),
        ("subdomain", "_dflt", "_DFLT is written with capitals"),
        (
            "subdomain",
            "_alt1",
            "but not _ALT...: the system clock cannot follow a pulled-up or pulled-down subdomain",
        ),
    ] {
        let told = Config::from_choices(&given(&[(name, value)])).unwrap_err().to_string();
        assert!(told.ends_with(hint) && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn a_dry_run_that_insists_on_steering_is_refused_where_both_stand_in_one_place() {
    let told = |pairs: &[(&str, &str)]| {
        Settings::from_choices(&given(pairs)).map_or_else(|faults| faults.to_string(), |_| String::new())
    };
    // From no place in particular: a test.
    assert_eq!(told(&[("dry-run", "true"), ("force-steer", "true")]), "");
    let parse = |text: &str| file::parse(Path::new("c.toml"), text).unwrap();
    let both =
        Settings::from_choices(&parse("dry-run = true\nforce-steer = true\n")).unwrap_err().to_string();
    assert!(
        both.starts_with("c.toml:2: force-steer: found true, allowed false where dry-run (line 1)"),
        "{both}"
    );
    assert!(Settings::from_choices(&parse("dry-run = true\nforce-steer = false\n")).is_ok());
    // An operator looks first, whatever the file says.
    let option = Choice {
        name: "dry-run",
        value: "true".to_owned(),
        found: "\"true\"".to_owned(),
        origin: Origin::Option,
    };
    let mut options = Choices::default();
    options.add(option);
    assert!(Settings::from_choices(&options.over(&parse("force-steer = true\n"))).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_whose_path_the_system_cannot_hold_is_refused_with_the_length_it_can() {
    let place = |length: usize| format!("/{}", "s".repeat(length - 1));
    assert!(Settings::from_choices(&given(&[("status-socket", &place(107))])).is_ok());
    let told = Settings::from_choices(&given(&[("status-socket", &place(108))])).unwrap_err().to_string();
    assert!(told.contains("status-socket: ") && told.contains("at most 107 bytes"), "{told}");
}

#[test]
fn without_ntp_no_server_is_asked_whoever_is_named() {
    let choices = given(&[("ntp-server", "a"), ("skip-ntp", "true")]);
    assert_eq!(Config::from_choices(&choices).unwrap().ntp_servers, Vec::<String>::new());
}

#[test]
fn options_win_over_the_file_name_by_name() {
    let file = given(&[("ntp-server", "a"), ("ntp-server", "b"), ("leap", "kernel")]);
    let both = given(&[("ntp-server", "c"), ("utc-slew", "5")]).over(&file);
    let config = Config::from_choices(&both).unwrap();
    assert_eq!((config.ntp_servers.as_slice(), config.leap), (&["c".to_owned()][..], LeapMode::Kernel));
    assert_eq!(config.utc_slew, Rate::from_ppm(5.0));
}

#[test]
fn the_status_and_the_history_have_their_places() {
    let places = |pairs: &[(&str, &str)]| {
        let settings = Settings::from_choices(&given(pairs)).unwrap();
        let text = |path: Option<PathBuf>| path.map_or_else(String::new, |path| path.display().to_string());
        (text(settings.status_socket), text(settings.event_file))
    };
    let both = |status: &str, events: &str| (status.to_owned(), events.to_owned());
    let usual = place::STATUS_SOCKET;
    let beside = |folder: &Path| folder.join("events.jsonl").display().to_string();
    assert_eq!(places(&[]), both(usual, &beside(place::expand(place::STATE_FILE).parent().unwrap())));
    assert_eq!(places(&[("status-socket", "none"), ("event-file", "none")]), both("", ""));
    assert_eq!(places(&[("state-file", "/a/b")]), both(usual, &beside(Path::new("/a"))));
    assert_eq!(places(&[("state-file", "none")]), both(usual, ""));
    assert_eq!(places(&[("state-file", "none"), ("event-file", "/x")]), both(usual, "/x"));
    assert_eq!(places(&[("dry-run", "true")]), both("", ""));
    let named = [("dry-run", "true"), ("status-socket", "/s"), ("event-file", "/e")];
    assert_eq!(places(&named), both("/s", "/e"));
}

#[test]
fn nothing_is_kept_where_nothing_is_steered() {
    assert_eq!(Settings::from_choices(&given(&[("dry-run", "true")])).unwrap().state_file, None);
}
