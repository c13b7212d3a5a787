//! `top --watch`: the answer redrawn in place.

use crate::assemble::query::Reader;
use crate::cli::stop_on_signal;
use anyhow::{Result, ensure};
use console::Term;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Asks every so many seconds, for a terminal of so many columns, and draws the answer over the one before, until SIGINT or SIGTERM.
///
/// # Errors
/// When there is no terminal, or the first question fails; later failures are shown and tried again.
pub fn watch(
    seconds: u64,
    ask: impl Fn(&Reader, usize) -> Result<String>,
    connect: impl Fn() -> Result<Reader>,
) -> Result<()> {
    let terminal = Term::stdout();
    ensure!(
        terminal.is_term(),
        "--watch draws on a terminal, and standard output is none: use --json for programs"
    );
    let mut reader = Some(connect()?);
    let width = || usize::from(Term::stdout().size().1);
    let first = ask_once(&mut reader, |r| ask(r, width()), &connect)?;
    let stop = stop_on_signal()?;
    let screen = Screen::open(terminal)?;
    screen.draw(&first)?;
    while !pause(Duration::from_secs(seconds), &stop) {
        let text = ask_once(&mut reader, |r| ask(r, width()), &connect);
        screen.draw(
            &text.unwrap_or_else(|e| format!("flowhouse: {}", super::super::with_causes(&e))),
        )?;
    }
    Ok(())
}

/// One answer; after a failure the next one begins with a new connection.
fn ask_once(
    reader: &mut Option<Reader>,
    ask: impl Fn(&Reader) -> Result<String>,
    connect: &impl Fn() -> Result<Reader>,
) -> Result<String> {
    let with = match reader.take() {
        Some(reader) => reader,
        None => connect()?,
    };
    let text = ask(&with)?;
    *reader = Some(with);
    Ok(text)
}

/// Waits; whether it is time to stop.
fn pause(time: Duration, stop: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.load(Ordering::Relaxed)
}

/// The terminal's other screen: what was on the first one is there again when this ends, however it ends.
struct Screen(Term);

impl Screen {
    fn open(terminal: Term) -> Result<Screen> {
        terminal.write_str("\x1b[?1049h")?;
        let screen = Screen(terminal);
        screen.0.hide_cursor()?;
        Ok(screen)
    }

    /// Line over line, each cut to the terminal; nothing is erased before its successor stands, so nothing flickers.
    fn draw(&self, text: &str) -> Result<()> {
        let (height, width) = self.0.size();
        let mut frame = "\x1b[H".to_owned();
        for (n, line) in text.lines().take(height.into()).enumerate() {
            frame += if n > 0 { "\r\n" } else { "" };
            frame.extend(line.chars().filter(|c| !c.is_control()).take(width.into()));
            frame += "\x1b[K";
        }
        frame += "\x1b[J";
        self.0.write_str(&frame)?;
        Ok(self.0.flush()?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // nobody is left to be told
        self.0.show_cursor().ok();
        self.0.write_str("\x1b[?1049l").ok();
    }
}
