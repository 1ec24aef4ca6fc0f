//! Builds the page in the background.

use std::path::PathBuf;
use std::sync::Arc;

use local_stack::toolchain;
use tokio::sync::watch;

/// Progress of a build.
#[derive(Clone, Debug)]
pub enum BuildState {
    Running,
    /// The folder of the built page.
    Done(Arc<PathBuf>),
    /// The error of the build.
    Failed(Arc<str>),
}

/// A build of the page.
#[derive(Clone, Debug)]
pub struct Build(watch::Receiver<BuildState>);

impl Build {
    /// Starts a build. A build that has the same sources as an earlier one ends at once.
    pub fn start() -> Self {
        let (sender, receiver) = watch::channel(BuildState::Running);
        // The end of the runtime would wait for a blocking task, so the build has its own thread.
        std::thread::spawn(move || {
            let state = match toolchain::build_web_page() {
                Ok(folder) => BuildState::Done(Arc::new(folder)),
                Err(error) => BuildState::Failed(error.to_string().into()),
            };
            sender.send_replace(state);
        });
        Self(receiver)
    }

    #[cfg(test)]
    pub fn with_state(state: BuildState) -> Self {
        Self(watch::channel(state).1)
    }

    pub fn state(&self) -> BuildState {
        self.0.borrow().clone()
    }

    /// Waits for the end of the build.
    pub async fn finished(&mut self) -> BuildState {
        let finished = self.0.wait_for(|state| !matches!(state, BuildState::Running)).await;
        match finished {
            Ok(state) => state.clone(),
            Err(_) => BuildState::Failed("the build has broken off".into()),
        }
    }
}
