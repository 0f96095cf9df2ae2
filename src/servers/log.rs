//! A log on stderr, for programs that have no subscriber of their own: a line for each event.
//!
//! ```text
//!   core k ── event ──► line ──► queue of LINES_MAX ──► thread skyring-log ──► stderr
//!                                 full: the line is counted as lost, the core goes on
//! ```
//! Whoever reads stderr may lag or be gone (a pager that waits, a full disk, a collector that died):
//! then lines are lost and no core waits. The first line that gets through says how many were.
//!
//! ```no_run
//! use skyring::prelude::*;
//! use skyring::servers::{echo, log};
//!
//! fn main() -> Result<()> {
//!     let config = Config::from_env()?;
//!     let _log = log::to_stderr(config.log_level()); // writes out what is left when it is dropped
//!     echo::engine(config, "127.0.0.1:8888", LengthPrefix::U16.into()).run()
//! }
//! ```

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Lines that wait for stderr; those beyond are lost.
const LINES_MAX: usize = 1024;

/// The longest line; a peer's words may be in it.
const LINE_BYTES_MAX: usize = 4096;

/// How long the end of a program waits for room behind its last lines, and then for them.
const END: Duration = Duration::from_millis(500);

/// The log of a program. When it is dropped, what waits is written out, for a second at most.
#[derive(Debug)]
#[must_use = "what is left of the log is written when it is dropped, at the end of the program"]
pub struct Log(Option<Queue>);

/// Writes events that are at least as grave as `level` to stderr, those of all crates in the process
/// that use `tracing`: time, level, where, the words, and the fields. Where the program has a
/// subscriber already, that one stays, and nothing is written here.
pub fn to_stderr(level: LevelFilter) -> Log {
    if level == LevelFilter::OFF {
        return Log(None);
    }
    let Ok(queue) = Queue::start(io::stderr()) else { return Log(None) };
    let lines = queue.clone();
    let subscriber = fmt()
        .with_max_level(level)
        .with_ansi(false)
        .log_internal_errors(false) // it would panic where stderr is closed
        .with_writer(move || lines.clone())
        .finish();
    match tracing::subscriber::set_global_default(subscriber) {
        Ok(()) => Log(Some(queue)),
        Err(_) => Log(None),
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.finish();
        }
    }
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before it is written: tells so.
    End(Sender<()>),
}

/// The way to the thread that writes. A line is one `write`.
#[derive(Clone, Debug)]
struct Queue {
    entries: Sender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Queue {
    fn start(to: impl Write + Send + 'static) -> io::Result<Queue> {
        let (entries, inlet) = bounded(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        let thread = thread::Builder::new().name("skyring-log".into());
        thread.spawn(move || write_all(to, &inlet, &counted))?;
        Ok(Queue { entries, lost })
    }

    fn finish(&self) {
        let (done, told) = bounded(1);
        // A full queue may be one that a burst has filled a moment ago.
        if self.entries.send_timeout(Entry::End(done), END).is_ok() {
            let _ = told.recv_timeout(END);
        }
    }
}

impl Write for Queue {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.entries.try_send(Entry::Line(line(event))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event as one line, whatever it quotes.
fn line(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
    let mut line = String::with_capacity(event.len() + 1);
    for character in text.chars() {
        let before = line.len();
        match character {
            character if misleads(character) => line.extend(character.escape_default()),
            character => line.push(character),
        }
        if line.len() > LINE_BYTES_MAX {
            line.truncate(before);
            line.push_str("...");
            break;
        }
    }
    line.push('\n');
    line.into_bytes()
}

/// Whether a terminal or a viewer would take a character for more than itself: what ends lines or moves
/// about, and what turns the direction of the words around it (UAX #9, 2.1 to 2.5).
fn misleads(character: char) -> bool {
    let turns = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(character, '\u{2028}' | '\u{2029}') || character.is_control()
}

fn write_all(mut to: impl Write, inlet: &Receiver<Entry>, lost: &AtomicU64) {
    for entry in inlet {
        // What cannot be written has no other place to go.
        if let lines @ 1.. = lost.swap(0, Ordering::Relaxed) {
            let _ = writeln!(to, "{lines} lines of the log were lost: stderr is slow");
        }
        match entry {
            Entry::Line(line) => {
                let _ = to.write_all(&line);
            }
            Entry::End(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{self, channel};

    use super::*;

    fn shown(event: &str) -> String {
        String::from_utf8(line(event.as_bytes())).expect("text")
    }

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        assert_eq!(shown("plain, grün\n"), "plain, grün\n");
        assert_eq!(shown("two\nlines\r\x1b[2J\n"), "two\\nlines\\r\\u{1b}[2J\n");
        // What turns the direction of words, and ends lines for some.
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{2028}d"), "a\\u{202e}b\\u{2066}c\\u{2028}d\n");
        assert_eq!(line(b"\xff\n"), "\u{fffd}\n".as_bytes());
    }

    #[test]
    fn the_longest_line_stays_whole_and_a_longer_one_is_cut() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(shown(&longest), format!("{longest}\n"));
        assert_eq!(shown(&format!("{longest}y")), format!("{longest}...\n"));
        let wide = "x".repeat(LINE_BYTES_MAX - 1);
        assert_eq!(shown(&format!("{wide}ü")), format!("{wide}...\n"));
    }

    /// Waits for a word before each write, and keeps what was written.
    struct Slow(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_lags_costs_lines_which_are_counted_and_nobody_waits() {
        let (go, wait) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut queue = Queue::start(Slow(wait, written.clone())).expect("a thread starts");
        // The thread holds one, unless it has not come to it yet.
        for n in 0..LINES_MAX + 10 {
            queue.write_all(format!("{n}\n").as_bytes()).expect("never refused");
        }
        drop(go); // from here on nothing waits
        while queue.entries.try_send(Entry::Line(b"last\n".to_vec())).is_err() {
            thread::yield_now();
        }
        queue.finish();
        let text = String::from_utf8(written.lock().expect("not poisoned").clone()).expect("text");
        let (mut lines, mut lost) = (0, 0);
        for line in text.lines() {
            match line.split_once(" lines of the log were lost") {
                Some((count, _)) => lost += count.parse::<usize>().expect("a count"),
                None => lines += 1,
            }
        }
        assert!(matches!(lost, 9 | 10), "{lost} lost");
        assert_eq!(lines + lost, LINES_MAX + 11);
        assert!(text.starts_with("0\n") || text.contains("lost"), "{text}");
        assert!(text.ends_with("last\n"), "{text}");
    }

    #[test]
    fn what_a_burst_has_left_is_written_at_the_end_and_so_is_what_it_has_cost() {
        let (go, wait) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut queue = Queue::start(Slow(wait, written.clone())).expect("a thread starts");
        for _ in 0..LINES_MAX + 10 {
            queue.write_all(b"a line\n").expect("never refused");
        }
        let ending = thread::spawn(move || queue.finish());
        thread::sleep(Duration::from_millis(20)); // it finds a full queue, most likely
        drop(go);
        ending.join().expect("no panic");
        let text = String::from_utf8(written.lock().expect("not poisoned").clone()).expect("text");
        let lines = text.lines().filter(|line| *line == "a line").count();
        let lost = text.lines().find_map(|line| line.split_once(" lines of the log were lost"));
        let lost = lost.and_then(|(lost, _)| lost.parse::<usize>().ok()).expect("told");
        assert_eq!(lines + lost, LINES_MAX + 10, "{text}");
    }

    #[test]
    fn who_cannot_be_written_to_is_no_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut queue = Queue::start(Gone).expect("a thread starts");
        for _ in 0..3 {
            queue.write_all(b"a line\n").expect("taken");
        }
        queue.finish();
        assert_eq!(queue.lost.load(Ordering::Relaxed), 0);
    }
}
