use super::*;

fn environment() -> Environment {
    [("PATH", "/usr/bin:/bin")].into_iter().collect()
}

#[test]
fn status_and_output_come_back() {
    let ended = Process::shell("echo out; echo err >&2; exit 7", &environment()).capture().unwrap();
    assert_eq!((ended.code(), ended.text().as_str()), (7, "out\nerr\n"));
    assert_eq!(Process::shell("kill -9 $$", &environment()).capture().unwrap().code(), 137);
}

#[test]
fn standard_input_is_what_is_given() {
    let cat = || Process::new("cat", [] as [&str; 0], &environment());
    assert_eq!(cat().stdin("a\nb\n").capture().unwrap().text(), "a\nb\n");
    assert_eq!(cat().capture().unwrap().text(), "");
    let unread = Process::new("true", [] as [&str; 0], &environment()).stdin(vec![b'x'; 1 << 20]);
    assert_eq!(unread.capture().unwrap().code(), 0);
}

#[test]
fn a_missing_program_is_told_apart() {
    let error = Process::new("no-such-program", ["x"], &environment()).capture().unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn a_program_that_is_still_written_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    crate::host::fs::write_whole(&program, b"#!/bin/sh\nexit 7\n", 0o755).unwrap();
    let process = Process::new(&program, [] as [&str; 0], &environment());
    let writer = || rustix::fs::open(&program, rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty());
    let writer = writer().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            drop(writer);
        });
        assert_eq!(process.capture().unwrap().code(), 7);
    });
}

#[test]
fn nothing_of_an_image_that_is_only_read_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let process = Process::new("touch", [&mark], &environment());
    {
        let _image = root::as_in_an_image();
        for error in [process.capture(), process.capture_stdout(), process.interact()] {
            assert!(error.unwrap_err().is_not_found());
        }
    }
    assert!(!mark.exists());
    assert_eq!(process.capture().unwrap().code(), 0);
    assert!(mark.exists());
}

#[test]
fn a_folder_is_seen_in_anothers_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, place) = (dir.path().join("mine"), dir.path().join("place"));
    for folder in [&mine, &place] {
        crate::host::fs::create_dir_all(folder).unwrap();
    }
    assert!(can_see_privately(&place, &environment()), "this machine has no mount namespaces");
    let process =
        Process::shell("echo x >here; pwd -P", &environment()).dir(&place).seeing(&[(&mine, &place)]);
    assert_eq!(process.capture().unwrap().text().trim(), place.to_str().unwrap());
    assert!(mine.join("here").exists() && !place.join("here").exists());
}

#[test]
fn makes_share_the_jobs_of_a_server() {
    let server = Arc::new(JobPipe::new().unwrap());
    let environment = [("PATH", "/usr/bin:/bin"), ("MAKEFLAGS", "k")].into_iter().collect();
    let process = Process::shell("echo \"$MAKEFLAGS\"", &environment).jobs_from(&server);
    let flags = process.capture().unwrap().text();
    assert!(flags.starts_with("k -j --jobserver"), "{flags}");
}

#[test]
fn what_it_leaves_running_is_ended() {
    let ended = Process::shell("sleep 60 >/dev/null 2>&1 & echo $!", &environment()).capture().unwrap();
    let child = ended.text().trim().to_owned();
    let gone = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let stat = crate::host::fs::read_lossy(Path::new(&format!("/proc/{child}/stat")));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
    assert!(gone, "{child} still runs");
}

#[test]
fn what_takes_too_long_is_ended_with_its_children() {
    let limit = Duration::from_millis(200);
    let process = Process::shell("sleep 60 | sleep 61", &environment()).time_limit(limit);
    let error = process.capture().unwrap_err();
    assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    let quick = Process::shell("echo x", &environment()).time_limit(Duration::from_secs(60));
    assert_eq!(quick.capture().unwrap().text(), "x\n");
}

#[test]
fn who_is_silent_too_long_is_ended() {
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(60));
    for (line, first, next, expected) in [
        ("sleep 60", short, long, false),
        ("echo x; sleep 60", long, short, false),
        ("for i in 1 2 3 4 5 6 7 8; do echo x; sleep 0.1; done", short, 3 * short, true),
    ] {
        let process = Process::shell(line, &environment()).silence_limit(first, next);
        let mut heard = Vec::new();
        let ended = process.stream_to(&mut |bytes| heard.extend_from_slice(bytes));
        match ended {
            Ok(ended) => assert!(expected && ended.code() == 0 && heard.len() == 16, "{line}"),
            Err(error) => assert!(!expected && matches!(error, ProcessError::TimedOut { .. }), "{error}"),
        }
    }
}

#[test]
fn quoting_is_read_back_by_a_shell() {
    for word in ["plain", "", "two words", "it's", "$HOME `x` \"y\"", "new\nline"] {
        let line = format!("printf %s {}", quote(word));
        assert_eq!(Process::shell(&line, &environment()).capture().unwrap().text(), word);
    }
}
