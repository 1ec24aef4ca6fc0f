//! Runs an action at a certain step of a fake, for example at the third request after its work is
//! done.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts steps and runs its action at the armed step. Clones share their state.
#[derive(Clone, Default)]
pub struct Breakpoint(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    steps: u32,
    armed: Option<(u32, Box<dyn FnOnce() + Send>)>,
}

impl Breakpoint {
    /// Restarts the count and runs `action` at `step`. The first step is 0.
    pub fn arm(&self, step: u32, action: impl FnOnce() + Send + 'static) {
        *self.state() = State { steps: 0, armed: Some((step, Box::new(action))) };
    }

    /// Restarts the count without an action.
    pub fn reset(&self) {
        *self.state() = State::default();
    }

    /// Number of steps since the last restart.
    pub fn steps(&self) -> u32 {
        self.state().steps
    }

    /// Counts one step. Returns whether it was the armed one.
    pub fn step(&self) -> bool {
        let action = {
            let mut state = self.state();
            let step = state.steps;
            state.steps += 1;
            state.armed.take_if(|(armed, _)| *armed == step)
        };
        action.map(|(_, action)| action()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breakpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakpoint").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_runs_once_at_the_armed_step() {
        let (breakpoint, triggered) = (Breakpoint::default(), Arc::new(Mutex::new(0)));
        let counted = triggered.clone();
        breakpoint.arm(1, move || *counted.lock().unwrap() += 1);
        assert_eq!((breakpoint.step(), breakpoint.step(), breakpoint.step()), (false, true, false));
        assert_eq!((*triggered.lock().unwrap(), breakpoint.steps()), (1, 3));
    }
}
