//! Processes that decode images, each killed when it hangs and replaced when it dies.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    child::{ARGUMENT, hide},
    error::{Code, Error},
    limits::Limits,
    message::{Answer, Request, frame, length},
    wanted::{Made, Wanted, check},
};

/// How long a process that closed its pipe may take to end before it is killed.
const END_WAIT: Duration = Duration::from_secs(2);

/// The one variable that a process keeps: some builds need it to start.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// With which code a Rust program ends that panicked.
#[cfg(unix)]
const PANIC: i32 = 101;

/// Pixels from which a process is not used again: what it grew by would stay with it.
const PIXELS_KEPT_MAX: u64 = 32_000_000;

/// Makes variants of images, as many at a time as `Limits::children` says; others wait.
pub struct Pool {
    limits: Limits,
    program: Program,
    idle: Mutex<Vec<Process>>,
    places: Semaphore,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What runs in the processes.
enum Program {
    /// This program, whose `main` calls `child::main` first.
    This,
    Other(PathBuf),
}

impl Pool {
    /// A pool whose processes are this program again. Its `main` must call [`crate::child::main`]
    /// before anything else. Nothing is started until there is an image.
    pub fn new(limits: Limits) -> Self {
        Self::running(limits, Program::This)
    }

    /// A pool whose processes are another program that calls [`crate::child::main`].
    pub fn of_program(limits: Limits, program: impl Into<PathBuf>) -> Self {
        Self::running(limits, Program::Other(program.into()))
    }

    fn running(limits: Limits, program: Program) -> Self {
        Self {
            places: Semaphore::new(limits.children.max(1)),
            idle: Mutex::new(Vec::new()),
            limits,
            program,
        }
    }

    /// How many images are decoded at the same time.
    pub fn places(&self) -> usize {
        self.limits.children.max(1)
    }

    /// Writes the variants of the image at `source` into the folder `out`, which exists.
    ///
    /// What stands in `out` after an error is no variant. Dropping the future kills the process.
    ///
    /// # Errors
    /// What is wrong with the image, with `wanted` or with the files: see [`Error`].
    pub async fn variants(
        &self,
        source: &Path,
        wanted: &[Wanted],
        out: &Path,
    ) -> Result<Made, Error> {
        check(wanted)?;
        let request = frame(&Request {
            source: source.to_owned(),
            wanted: wanted.to_vec(),
            out: out.to_owned(),
            limits: self.limits.clone(),
        });
        // A path that is not UTF-8, for example.
        let request = request.map_err(|error| Error::Files(error.to_string()))?;
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        let kept = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let first = match kept {
            Some(process) => process,
            None => self.start()?,
        };
        match self.ask(first, &request).await? {
            Ended::Answered(result) => return result,
            Ended::Died(status) => tracing::warn!("A process died of an image: {status:?}"),
        }
        // It may have died of something else, while it was idle or of an earlier image.
        match self.ask(self.start()?, &request).await? {
            Ended::Answered(result) => result,
            Ended::Died(status) if is_crash(status) => {
                let detail = "the process that decoded it died, twice";
                Err(Error::refused(Code::Crashed, detail))
            }
            Ended::Died(status) => Err(io::Error::other(format!("it ended with {status}")).into()),
        }
    }

    /// Hands an image to a process, which is kept for the next one if it is still good.
    async fn ask(&self, mut process: Process, request: &[u8]) -> Result<Ended, Error> {
        let seconds = self.limits.wall_seconds_max;
        let answer = timeout(Duration::from_secs(seconds), process.ask(request)).await;
        let Ok(answer) = answer else {
            // Dropping the process kills it.
            return Err(Error::TimedOut(seconds));
        };
        let Ok(answer) = answer else {
            let status = process.end().await?;
            return Ok(match verdict(status) {
                Some(error) => Ended::Answered(Err(error)),
                None => Ended::Died(status),
            });
        };
        let result = Result::from(answer);
        let small = |made: &Made| u64::from(made.width) * u64::from(made.height) <= PIXELS_KEPT_MAX;
        if result.as_ref().is_ok_and(small) && process.images < self.limits.images_per_child_max {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(process);
        }
        Ok(Ended::Answered(result))
    }

    fn start(&self) -> Result<Process, Error> {
        // It has the same user, and must not read the secrets that this process has.
        hide()?;
        let mut command = match &self.program {
            Program::Other(program) => Command::new(program),
            Program::This => Command::new(this_program()?),
        };
        // Ctrl-C in a terminal is for this process, which ends the others by itself.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command
            .arg(ARGUMENT)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| name == LIBRARIES))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::Error::other("a process without pipes").into());
        };
        Ok(Process {
            child,
            stdin,
            stdout,
            images: 0,
        })
    }
}

enum Ended {
    Answered(Result<Made, Error>),
    Died(ExitStatus),
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    images: u32,
}

impl Process {
    async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.images += 1;
        self.stdin.write_all(request).await?;
        self.stdin.flush().await?;
        let mut begin = [0; 4];
        self.stdout.read_exact(&mut begin).await?;
        let mut body = vec![0; length(begin)?];
        self.stdout.read_exact(&mut body).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// How the process ended that has nothing more to say.
    async fn end(mut self) -> io::Result<ExitStatus> {
        drop(self.stdin);
        if let Ok(status) = timeout(END_WAIT, self.child.wait()).await {
            return status;
        }
        self.child.kill().await?;
        self.child.wait().await
    }
}

/// The program that runs, also after its file was replaced by another one.
fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        env::current_exe()
    }
}

/// What a death says of the image, if it says anything.
#[cfg(unix)]
fn verdict(status: ExitStatus) -> Option<Error> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::Signal;

    let signal = status.signal()?;
    if signal == Signal::XCPU.as_raw() {
        return Some(Error::refused(Code::TooSlow, "it takes too long to decode"));
    }
    // This is how Rust ends when there is no memory.
    if signal == Signal::ABORT.as_raw() {
        return Some(Error::refused(
            Code::TooMuchMemory,
            "it takes too much memory to decode",
        ));
    }
    None
}

/// Whether the decoder made a mistake: any other end came from outside, and says nothing of the image.
#[cfg(unix)]
fn is_crash(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::Signal;

    let faults = [
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
        Signal::TRAP,
        Signal::SYS,
    ];
    status.code() == Some(PANIC)
        || status
            .signal()
            .is_some_and(|signal| faults.iter().any(|it| it.as_raw() == signal))
}

#[cfg(not(unix))]
fn verdict(_status: ExitStatus) -> Option<Error> {
    None
}

#[cfg(not(unix))]
fn is_crash(_status: ExitStatus) -> bool {
    true
}
