//! The result of a query as a stream: the engine writes a named pipe, we read it.
//!
//! So nothing is held beyond the pipe's buffer, a slow client slows the query, and a client that went away ends it.

use super::engine::{Connection, Engine};
use super::error::{Exception, Name};
use super::scratch::Entry;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Runs `sql`, which writes into the pipe at `entry`, and hands its bytes to `take` until the end.
///
/// `abandoned` is asked from time to time: when it says yes the query is killed.
pub fn pump(
    engine: &Engine,
    connection: &mut Connection,
    sql: &str,
    entry: &Entry,
    abandoned: &dyn Fn() -> bool,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Exception>,
) -> Result<(), Exception> {
    nix::unistd::mkfifo(entry.path(), Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(std::io::Error::from)?;
    let fifo = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(entry.path())?;
    let _ = fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let (done, finished) = std::io::pipe()?;
    std::thread::scope(|scope| {
        let query = scope.spawn(move || {
            let result = connection.run(sql);
            drop(finished);
            result
        });
        let name = entry.path().display().to_string();
        let taken = drain(fifo, &done, abandoned, take);
        if taken.is_err() {
            kill(engine, &name);
        }
        let result = query
            .join()
            .unwrap_or_else(|_| Err(Exception::new(Name::Unknown, "the query's thread failed")));
        taken.and(result)
    })
}

/// Reads until the query is done and the engine has closed the pipe. Dropping the pipe early makes the engine's next write fail.
fn drain(
    mut fifo: File,
    done: &std::io::PipeReader,
    abandoned: &dyn Fn() -> bool,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Exception>,
) -> Result<(), Exception> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut hung_up = false;
    let mut last = None;
    loop {
        let (readable, ended) = wait(&fifo, done, hung_up)?;
        if readable {
            match fifo.read(&mut buffer) {
                Ok(0) => hung_up = true,
                Ok(length) => {
                    take(&buffer[..length])?;
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        if ended {
            if hung_up {
                return Ok(());
            }
            // the engine may close the pipe, and write its last bytes, after it says that the query is done
            if Instant::now() > *last.get_or_insert_with(|| Instant::now() + LAST) {
                let text = "The end of the result did not come";
                return Err(Exception::new(Name::Unknown, text));
            }
            let mut alone = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut alone, PollTimeout::from(TICK_MS));
            continue;
        }
        if abandoned() {
            return Err(Exception::new(Name::NetworkError, "The client went away"));
        }
    }
}

/// Waits for bytes or for the end; after a hang-up of the pipe only for the end.
fn wait(fifo: &File, done: &std::io::PipeReader, hung_up: bool) -> Result<(bool, bool), Exception> {
    let mut descriptors = [
        PollFd::new(done.as_fd(), PollFlags::POLLIN),
        PollFd::new(fifo.as_fd(), PollFlags::POLLIN),
    ];
    let watched = if hung_up {
        &mut descriptors[..1]
    } else {
        &mut descriptors[..]
    };
    match poll(watched, PollTimeout::from(TICK_MS)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    let ended = watched[0].any().unwrap_or(false);
    let readable = watched
        .get(1)
        .is_some_and(|descriptor| descriptor.any().unwrap_or(false));
    // what was written before the end is still in the pipe
    Ok((readable || (ended && !hung_up), ended))
}

/// Ends the query that names this scratch file.
fn kill(engine: &Engine, name: &str) {
    let sql = format!(
        "KILL QUERY WHERE position(query, {}) > 0 AND position(query, 'KILL QUERY') = 0",
        super::engine::quote(name)
    );
    if let Err(exception) = engine
        .connect()
        .and_then(|mut connection| connection.run(&sql))
    {
        tracing::debug!(%exception, "an abandoned query could not be killed");
    }
}

const PIPE_BYTES: i32 = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;
const TICK_MS: u16 = 200;
/// How long the end of the pipe is waited for after the end of the query.
const LAST: Duration = Duration::from_secs(30);
