//! From arguments to a serving store, in the order that gives up rights before anything else runs.

use super::engine::Engine;
use super::error::Error;
use super::guard::Guard;
use super::key::Keys;
use super::scratch::Scratch;
use super::server::{Shared, router};
use super::settings::Settings;
use super::{confine, library, unkept};
use crate::rights;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until a signal, or with `stop_with_stdin` until standard input ends. Must be called before the process has threads.
pub fn serve(mut settings: Settings) -> Result<(), Error> {
    std::fs::create_dir_all(&settings.data)
        .map_err(Error::file("cannot create", &settings.data))?;
    settings.data = settings
        .data
        .canonicalize()
        .map_err(Error::file("cannot find", &settings.data))?;
    let library = library::find(settings.library.as_deref(), &settings.data)?;
    let library = library
        .canonicalize()
        .map_err(Error::file("cannot find", &library))?;
    library::check_symbols(&library)?;
    let listener =
        TcpListener::bind(settings.listen).map_err(|source| listen_fault(&settings, source))?;
    settings.listen = listener
        .local_addr()
        .map_err(Error::file("cannot read", "the listening address"))?;
    let scratch = Scratch::create(settings.scratch.as_deref(), &settings.data)?;
    change_account(&settings, scratch.folder(), &library)?;
    let lock = lock(&settings.data)?;
    let keys = Keys::ensure(&settings.data)?;
    let folder = settings.data.join("engine");
    std::fs::create_dir_all(&folder).map_err(Error::file("cannot create", &folder))?;
    // the keys lie beside it: from here on they are out of reach, for us and for the engine
    confine::landlock(&folder, scratch.folder(), &library);
    configure_engine(&settings, scratch.folder())?;
    let taken = unkept::take_back(&folder)?;
    if taken > 0 {
        tracing::warn!(
            tokens = taken,
            "the store was killed between a token and its rows: the tokens are taken back"
        );
    }
    let engine = Engine::open(&library, &folder, baseline(&settings))?;
    let guard = guard(&settings, &engine)?;
    let shared = Arc::new(Shared::new(settings, engine, guard, keys, scratch));
    let threads = shared.settings.requests_max + shared.settings.requests_waiting_max + 8;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(threads)
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::file("cannot start", "the runtime"))?;
    let served = runtime.block_on(answer(listener, Arc::clone(&shared)));
    tracing::debug!("the last request ended");
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(shared);
    tracing::debug!("the engine is closed");
    drop(lock);
    served
}

fn listen_fault(settings: &Settings, source: std::io::Error) -> Error {
    Error::File {
        what: "cannot listen on",
        path: PathBuf::from(settings.listen.to_string()),
        source,
    }
}

/// Changes the account when root, and makes sure that the new one gets everywhere.
fn change_account(settings: &Settings, scratch: &Path, library: &Path) -> Result<(), Error> {
    if let Some(account) = confine::account(settings.user.as_deref())? {
        rights::give(&settings.data, &account)?;
        rights::give(scratch, &account)?;
        confine::drop_rights(&account)?;
    }
    rights::forbid_new_rights()?;
    rights::check_reach(&settings.data)?;
    rights::check_reach(library)?;
    rights::check_reach(scratch)?;
    Ok(())
}

/// Takes the data folder for this process; the lock goes with the file's descriptor.
fn lock(data: &Path) -> Result<std::fs::File, Error> {
    let path = data.join("lock");
    let open = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = open.map_err(Error::file("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path)
                .unwrap_or_default()
                .trim()
                .to_owned();
            return Err(Error::InUse {
                path: data.to_path_buf(),
                holder,
            });
        }
        Err(std::fs::TryLockError::Error(source)) => {
            return Err(Error::file("cannot lock", &path)(source));
        }
    }
    let written = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(Error::file("cannot write", &path))?;
    Ok(file)
}

/// The engine reads `config.xml` of its working folder; there is no other way in to its server settings.
fn configure_engine(settings: &Settings, folder: &Path) -> Result<(), Error> {
    let memory = settings.engine_memory();
    let cache = memory / 16;
    let path = folder.join("config.xml");
    let text = format!(
        "<clickhouse>
<max_server_memory_usage>{memory}</max_server_memory_usage>
<merges_mutations_memory_usage_soft_limit>{}</merges_mutations_memory_usage_soft_limit>
<mark_cache_size>{cache}</mark_cache_size>
<primary_index_cache_size>{cache}</primary_index_cache_size>
<index_mark_cache_size>{cache}</index_mark_cache_size>
<background_pool_size>2</background_pool_size>
<background_schedule_pool_size>4</background_schedule_pool_size>
</clickhouse>
",
        memory / 2
    );
    std::fs::write(&path, text).map_err(Error::file("cannot write", &path))?;
    std::env::set_current_dir(folder).map_err(Error::file("cannot enter", folder))
}

/// What every connection sets first. The engine's own defaults suit a notebook, not a server.
fn baseline(settings: &Settings) -> String {
    format!(
        "SET implicit_select = 0, allow_introspection_functions = 0, async_insert = 0, max_memory_usage = {}, max_threads = {}, max_query_size = {}",
        settings.query_memory(),
        settings.query_threads(),
        settings.query_bytes_max.saturating_mul(2)
    )
}

/// The rules, with the names of the running engine.
fn guard(settings: &Settings, engine: &Engine) -> Result<Guard, Error> {
    let ask = |sql: &str| {
        engine
            .column(sql)
            .map_err(|exception| Error::Engine(exception.text))
    };
    let functions = ask("SELECT name FROM system.table_functions")?;
    let engines = ask(
        "SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines",
    )?;
    let mut guard = Guard::new();
    guard.learn(
        functions.iter().map(String::as_str),
        engines.iter().map(String::as_str),
    );
    guard.limit("max_memory_usage", settings.query_memory());
    guard.limit("max_memory_usage_for_user", settings.engine_memory());
    let threads = settings.query_threads() as u64;
    for setting in [
        "max_threads",
        "max_insert_threads",
        "max_final_threads",
        "max_parsing_threads",
        "max_alter_threads",
        "max_download_threads",
    ] {
        guard.limit(setting, threads);
    }
    guard.limit("max_query_size", settings.query_bytes_max as u64);
    Ok(guard)
}

async fn answer(listener: TcpListener, shared: Arc<Shared>) -> Result<(), Error> {
    let fail = |what: &'static str| Error::file("cannot serve", what);
    listener
        .set_nonblocking(true)
        .map_err(fail("the listening socket"))?;
    let listener =
        tokio::net::TcpListener::from_std(listener).map_err(fail("the listening socket"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fail("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail("signals"))?;
    let orphaned = orphaned(shared.settings.stop_with_stdin);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut graceful = stopped.clone();
    let server = axum::serve(listener, router(Arc::clone(&shared)));
    let server = server.with_graceful_shutdown(async move {
        let _ = graceful.wait_for(|stop| *stop).await;
    });
    let server = tokio::spawn(server.into_future());
    tracing::info!(engine = shared.engine.version, data = %shared.settings.data.display(), "serving");
    eprintln!("{READY}{}", shared.settings.listen);
    // a store with a parent ends when the parent is done with it: Ctrl-C and systemd signal both at once, and the parent
    // still has rows to deliver
    let alone = !shared.settings.stop_with_stdin;
    tokio::select! {
        _ = terminate.recv(), if alone => {}
        _ = interrupt.recv(), if alone => {}
        () = orphaned => {}
    }
    let _ = stop.send(true);
    let mut server = server;
    if tokio::time::timeout(shared.settings.grace, &mut server)
        .await
        .is_err()
    {
        shared.stop();
        if tokio::time::timeout(STOP_MAX, &mut server).await.is_err() {
            tracing::warn!("some requests did not end in time");
            server.abort();
        }
    }
    Ok(())
}

/// Ends when standard input does.
async fn orphaned(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (gone, wait) = tokio::sync::oneshot::channel::<()>();
    // a thread of its own: a blocking read must not hold up the runtime's end
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(gone);
    });
    let _ = wait.await;
}

/// How the line starts that says the store is ready; the address follows.
pub(super) const READY: &str = "listening on http://";
const STOP_MAX: Duration = Duration::from_secs(3);
