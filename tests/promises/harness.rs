//! Runs the promises side by side, each in a world of its own.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, anyhow};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use local_stack::World;
use local_stack::lambda::{self, Profile};
use local_stack::tools::ToolError;
use tokio::runtime::Runtime;

/// Longer than any promise takes, the fetching of a tool on a slow line included; one that hangs is one that is broken.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Tests mostly wait for each other's processes, so there are more of them than cores.
const AT_ONCE: usize = 6;

/// One runtime for all: connections and servers live on the runtime that made them.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Ends a test that cannot be tried here, with the reason. In CI, where everything must be tried, it is a failure.
#[derive(Debug)]
pub struct Ignored(pub String);

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ignored {}

/// A promise that is tried in a world as it is by default. The world ends with the test.
pub fn trial<F>(name: &str, test: F) -> Trial
where
    F: AsyncFnOnce(World) -> Result<()> + Send + 'static,
{
    trial_in(name, World::builder(), test)
}

/// A promise that is tried in a world of a certain kind.
pub fn trial_in<F>(name: &str, world: local_stack::Builder, test: F) -> Trial
where
    F: AsyncFnOnce(World) -> Result<()> + Send + 'static,
{
    alone(name, async move || test(world.start().await?).await)
}

/// A promise that needs no world, or makes its own.
pub fn alone<F>(name: &str, test: F) -> Trial
where
    F: AsyncFnOnce() -> Result<()> + Send + 'static,
{
    Trial::ignorable_test(name, move || {
        let run = async { tokio::time::timeout(PATIENCE, test()).await };
        let outcome =
            RUNTIME.block_on(run).unwrap_or_else(|_| Err(anyhow!("it did not end within {PATIENCE:?}")));
        outcome.map(|()| Completion::Completed).or_else(ignored)
    })
}

/// Tells what could not be tried from what failed.
fn ignored(error: anyhow::Error) -> Result<Completion, Failed> {
    let reason = match (error.downcast_ref::<Ignored>(), error.downcast_ref::<ToolError>()) {
        (Some(ignored), _) => ignored.to_string(),
        (_, Some(tool @ ToolError::NoPython(_))) => tool.to_string(),
        _ => return Err(Failed::from(format!("{error:#}"))),
    };
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(Failed::from(format!("ignored, which is not allowed in CI: {reason}")));
    }
    Ok(Completion::ignored_with(reason))
}

/// Builds the functions before the first promise is tried: on a machine that has built nothing yet it takes minutes, which are
/// nobody's patience. What does not build is told by every promise that needs it.
fn build_first() {
    if let Err(error) = RUNTIME.block_on(lambda::functions(Profile::Dev)) {
        eprintln!("{error:#}");
    }
}

/// Runs what the command line asks for, and leaves nothing behind.
pub fn run(promises: impl IntoIterator<Item = Vec<Trial>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    if !arguments.list {
        build_first();
    }
    let conclusion = libtest_mimic::run(&arguments, promises.into_iter().flatten().collect());
    let ended = std::panic::catch_unwind(AssertUnwindSafe(local_stack::finish));
    match ended {
        Ok(Ok(())) => conclusion.exit_code(),
        Ok(Err(error)) => {
            eprintln!("the stack could not be ended: {error:#}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}
