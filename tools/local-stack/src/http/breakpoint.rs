//! Something that happens at a certain step of what is played here: at the third request, once its work is done.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts steps, and at the one it was armed for does what it was armed with. All copies are one.
#[derive(Clone, Default)]
pub struct Breakpoint(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    steps: u32,
    armed: Option<(u32, Box<dyn FnOnce() + Send>)>,
}

impl Breakpoint {
    /// Counts from zero again, and does this at that step. The first one is number zero.
    pub fn arm(&self, step: u32, pull: impl FnOnce() + Send + 'static) {
        *self.state() = State { steps: 0, armed: Some((step, Box::new(pull))) };
    }

    /// Counts from zero again, and does nothing.
    pub fn count(&self) {
        *self.state() = State::default();
    }

    /// How many steps there were since.
    pub fn steps(&self) -> u32 {
        self.state().steps
    }

    /// Takes a step, and says whether it was the one.
    pub fn step(&self) -> bool {
        let pull = {
            let mut state = self.state();
            let step = state.steps;
            state.steps += 1;
            state.armed.take_if(|(armed, _)| *armed == step)
        };
        pull.map(|(_, pull)| pull()).is_some()
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
    fn it_is_pulled_once_at_its_step() {
        let (wire, pulled) = (Breakpoint::default(), Arc::new(Mutex::new(0)));
        let counted = pulled.clone();
        wire.arm(1, move || *counted.lock().unwrap() += 1);
        assert_eq!((wire.step(), wire.step(), wire.step()), (false, true, false));
        assert_eq!((*pulled.lock().unwrap(), wire.steps()), (1, 3));
    }
}
