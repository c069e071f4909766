//! The frame around a verb that calls a service: its runtime, signals, suspension and time.

use std::future::Future;
use std::time::{Duration, Instant};

use rustix::process::getpid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

use crate::cli::{Exit, extension};
use crate::run::{Interrupts, Stop};
use crate::ui::{BEAT, Pulse, Ui};

/// Performs a verb that calls a service. A prompt that still waits for a key holds nobody up.
pub fn perform<F>(ui: &Ui, work: impl FnOnce(Interrupts) -> F) -> Exit
where
    F: Future<Output = Exit>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&format!("cannot start: {error}"), None);
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(async {
        match signals().and_then(|interrupts| suspension(ui).map(|()| interrupts)) {
            Ok(interrupts) => work(interrupts).await,
            Err(error) => {
                ui.error(&format!("cannot watch for signals: {error}"), None);
                Exit::Failed
            }
        }
    });
    runtime.shutdown_background();
    exit
}

fn signals() -> std::io::Result<Interrupts> {
    let (sender, receiver) = unbounded_channel();
    let watched = [
        (SignalKind::interrupt(), "Ctrl-C"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ];
    for (kind, name) in watched {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(name.into()).is_ok() {}
        });
    }
    if !extension::stands_behind() {
        return Ok(receiver);
    }
    tokio::spawn(async move {
        extension::left_alone().await;
        sender.send("the end of the temporal CLI".into())
    });
    Ok(once(receiver))
}

/// What comes together is one event, not a second one that would leave calls in flight alone.
fn once(mut signals: Interrupts) -> Interrupts {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut latest: Option<Instant> = None;
        while let Some(name) = signals.recv().await {
            let together = latest.is_some_and(|at| at.elapsed() < extension::TOGETHER);
            if !together && sender.send(name).is_err() {
                return;
            }
            latest = latest.filter(|_| together).or_else(|| Some(Instant::now()));
        }
    });
    receiver
}

/// Ctrl-Z leaves the terminal clean, and what is drawn begins anew when this process goes on.
fn suspension(ui: &Ui) -> std::io::Result<()> {
    let mut stop = signal(SignalKind::from_raw(libc::SIGTSTP))?;
    let mut go_on = signal(SignalKind::from_raw(libc::SIGCONT))?;
    let terminal = ui.clone();
    tokio::spawn(async move {
        while stop.recv().await.is_some() {
            if has_a_shell() {
                terminal.suspended(|| {
                    // Itself alone: the terminal has told the others of the job.
                    let _ = rustix::process::kill_process(getpid(), rustix::process::Signal::STOP);
                });
            }
        }
    });
    let terminal = ui.clone();
    tokio::spawn(async move {
        while go_on.recv().await.is_some() {
            terminal.continued();
        }
    });
    Ok(())
}

/// Whether somebody is there who can let a stopped job go on: a parent of the same session. Else a process that
/// stops would stay so; the kernel does not stop it either.
fn has_a_shell() -> bool {
    let session = |process| rustix::process::getsid(process).ok();
    let parent = rustix::process::getppid();
    parent.is_some() && session(parent) == session(None)
}

/// Does `work` unless a signal comes first, or the time of the whole command is over: before a run's
/// first record there is nothing to write down.
pub async fn unless_interrupted<T>(
    interrupts: &mut Interrupts,
    limit: Option<Duration>,
    ui: &Ui,
    work: impl Future<Output = Result<T, Exit>>,
) -> Result<T, Exit> {
    let mut pulse = Pulse::new(ui, "Reads the service");
    let work = async {
        let mut beats = tokio::time::interval(BEAT);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                _ = beats.tick() => pulse.beat(),
            }
        }
    };
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(signal) = interrupts.recv() => {
            ui.close();
            ui.error(&format!("{signal}: nothing was changed"), None);
            Err(Exit::Interrupted)
        }
        () = over => {
            ui.close();
            ui.error("the time of --command-timeout is over; nothing was changed", None);
            Err(Exit::Failed)
        }
        result = work => result,
    }
}

/// A signal of its own when the time of the whole command is over.
pub(super) fn with_limit(mut interrupts: Interrupts, limit: Duration) -> Interrupts {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let over = tokio::time::sleep(limit);
        tokio::pin!(over);
        let mut waits = true;
        loop {
            let name = tokio::select! {
                Some(name) = interrupts.recv() => name,
                () = &mut over, if waits => { waits = false; Stop::Signal("--command-timeout") }
                else => return,
            };
            if sender.send(name).is_err() {
                return;
            }
        }
    });
    receiver
}
