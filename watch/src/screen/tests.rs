use super::*;
use dantetimesync::snapshot::{BoundedRate, BoundedTime};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

const EXAMPLE: &str = include_str!("../../../docs/status.example.json");
const DRAWN: &str = include_str!("example.txt");

fn example() -> Status {
    serde_json::from_str(EXAMPLE).unwrap()
}

fn told(at: Timestamp<Raw>, status: Result<Status, &str>) -> Told {
    Told { at, status: status.map(Box::new).map_err(str::to_owned) }
}

/// Two minutes of an offset that swings, and the view at their end.
fn played(palette: Palette, change: impl Fn(&mut Status)) -> (View, Course, Timestamp<Raw>) {
    let (mut view, mut course) = (View::new(palette), Course::default());
    let mut now = Timestamp::from_ns(example().snapshot.raw_ns);
    for second in 0..120_u32 {
        now = now + Span::from_secs(1);
        let mut status = example();
        let swing = (f64::from(second) / 10.0).sin();
        status.snapshot.raw_ns = now.as_ns();
        status.snapshot.offset = Some(BoundedTime { value_ns: 2_000.0 * swing, bound_ns: 3_120.0 });
        status.snapshot.leader_rate =
            Some(BoundedRate { value_ppb: -33_710.0 + 10.0 * swing, bound_ppb: 25.0 });
        status.snapshot.jitter_ns = Some(6_900.0 + 500.0 * swing);
        change(&mut status);
        course.add(&told(now, Ok(status.clone())));
        view.take(told(now, Ok(status)));
    }
    (view, course, now + Span::from_ms(100))
}

fn terminal(size: (u16, u16), view: &View, course: &Course, now: Timestamp<Raw>) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, view, course, now)).unwrap();
    terminal
}

fn text(size: (u16, u16), view: &View, course: &Course, now: Timestamp<Raw>) -> String {
    let terminal = terminal(size, view, course, now);
    let buffer = terminal.backend().buffer();
    let lines = (0..size.1).map(|y| {
        let line: String = (0..size.0).map(|x| buffer[(x, y)].symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

#[test]
fn the_screen_looks_as_it_was_approved() {
    let (view, course, now) = played(Palette::plain(), |_| {});
    let drawn = text((80, 24), &view, &course, now);
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/screen/example.txt"), &drawn).unwrap();
        return;
    }
    assert_eq!(
        drawn, DRAWN,
        "look at it, and then UPDATE_EXAMPLES=1 cargo test --package dantetimesync-watch"
    );
}

#[test]
fn every_part_is_there_in_80_columns_and_24_lines() {
    let (view, course, now) = played(Palette::plain(), |_| {});
    let drawn = text((80, 24), &view, &course, now);
    for part in [
        "dantetimesync 0.1.0, pid 4711",
        "q quit",
        "Locked to 00:1d:c1:a1:72:3c/1",
        "leader runs +8.1 ppm",
        "offset",
        "rate -33.72 ± 0.03 ppm",
        "jitter",
        "00:1d:c1:00:00:07/1",
        "probation, 7.0 s",
        "ntp.example.org: used",
        "samples 31900, not fitting 18",
        "12 version two",
        "Acquiring → Locked",
    ] {
        assert!(drawn.contains(part), "{part}:\n{drawn}");
    }
    let braille = drawn.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
    assert!(braille > 40, "curves:\n{drawn}");
}

#[test]
fn no_size_and_no_status_makes_it_fail() {
    let (view, course, now) = played(Palette::plain(), |status| {
        status.snapshot.leaders = vec![status.snapshot.leaders[0].clone(); 32];
        status.snapshot.ntp_servers = vec![status.snapshot.ntp_servers[0].clone(); 20];
        status.snapshot.offset = Some(BoundedTime { value_ns: f64::MAX, bound_ns: f64::INFINITY });
    });
    let (empty, nothing) = (View::new(Palette::plain()), Course::default());
    for width in [1, 2, 10, 49, 50, 80, 300] {
        for height in [1, 2, 5, 17, 18, 24, 100] {
            text((width, height), &view, &course, now);
            text((width, height), &empty, &nothing, now);
        }
    }
    assert!(text((40, 10), &view, &course, now).contains("Locked to"), "a small one shows the answer");
}

#[test]
fn a_program_that_stops_is_said_so_with_its_last_words_and_may_come_back() {
    let (mut view, mut course, mut now) = played(Palette::plain(), |_| {});
    for _ in 0..20 {
        now = now + Span::from_secs(1);
        course.add(&told(now, Err("dantetimesync is not running")));
        view.take(told(now, Err("dantetimesync is not running")));
    }
    let drawn = text((80, 24), &view, &course, now);
    assert!(drawn.contains("No status for 20 s: dantetimesync is not running"), "{drawn}");
    assert!(view.ticks(), "and then 21 s");
    assert!(drawn.contains("the last that was told") && drawn.contains("00:1d:c1:a1:72:3c/1"), "{drawn}");
    let mut back = example();
    (back.pid, back.snapshot.raw_ns) = (4712, now.as_ns());
    view.take(told(now, Ok(back)));
    let drawn = text((80, 24), &view, &course, now);
    assert!(drawn.contains("pid 4712") && drawn.contains("Locked to") && !view.ticks(), "{drawn}");
    // What is told while the screen is paused is not shown, but was told.
    view.press(KeyCode::Char('p'));
    now = now + Span::from_secs(600);
    view.take(told(now, Ok(example())));
    view.press(KeyCode::Char('p'));
    now = now + Span::from_secs(5);
    view.take(told(now, Err("dantetimesync is not running")));
    let drawn = text((80, 24), &view, &course, now);
    assert!(drawn.contains("No status for 5.0 s"), "{drawn}");
}

#[test]
fn a_program_that_hangs_is_not_shown_as_locked() {
    let (view, course, now) = played(Palette::plain(), |_| {});
    let drawn = text((80, 24), &view, &course, now + Span::from_secs(60));
    assert!(drawn.contains("Not known") && drawn.contains("seems to hang"), "{drawn}");
    assert!(!drawn.contains("Locked to"), "{drawn}");
}

#[test]
fn words_of_a_newer_program_are_drawn_and_an_unknown_state_is_not_shown_as_locked() {
    let mut newer: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    newer["state"] = "of_the_future".into();
    newer["leaders"][1]["standing"] = "of_the_future".into();
    newer["ntp_servers"][0]["role"] = "of_the_future".into();
    newer["utc"]["slew"]["activity"] = "of_the_future".into();
    let status: Status = serde_json::from_value(newer).unwrap();
    let (mut view, course) = (View::new(Palette::plain()), Course::default());
    let now = Timestamp::from_ns(status.snapshot.raw_ns);
    view.take(told(now, Ok(status)));
    let drawn = text((100, 24), &view, &course, now);
    assert!(drawn.contains("Not known: in a state that this release has no word for"), "{drawn}");
    assert!(drawn.contains("ask with the release that runs") && !drawn.contains("Locked to"), "{drawn}");
    assert!(drawn.contains("00:1d:c1:00:00:07/1"), "{drawn}");
}

#[test]
fn without_colours_there_are_none_and_with_them_the_state_has_one() {
    let colours = |palette| {
        let (view, course, now) = played(palette, |_| {});
        let terminal = terminal((80, 24), &view, &course, now);
        let cells = terminal.backend().buffer().content();
        cells.iter().map(|cell| cell.fg).filter(|colour| *colour != Color::Reset).collect::<Vec<_>>()
    };
    assert_eq!(colours(Palette::plain()), []);
    assert!(colours(Palette { colours: true }).contains(&Color::Green));
}

#[test]
fn keys_change_the_window_and_pause() {
    let (mut view, mut course, now) = played(Palette::plain(), |_| {});
    view.redraw = false;
    view.press(KeyCode::Char('w'));
    assert!(view.redraw && text((80, 24), &view, &course, now).contains("w 10 min"));
    view.press(KeyCode::Char('p'));
    let mut next = example();
    next.pid = 1;
    course.add(&told(now, Ok(next.clone())));
    view.take(told(now, Ok(next)));
    assert!(text((80, 24), &view, &course, now).starts_with("PAUSED  dantetimesync"));
    assert!(text((80, 24), &view, &course, now).contains("pid 4711"));
}
