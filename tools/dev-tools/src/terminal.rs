//! Terminal colours, which are off when the output is not a terminal.

use std::io::IsTerminal;

/// Styles text, or returns it unchanged.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    on: bool,
}

impl TextStyle {
    /// Styles text if standard output is a terminal with colours and `NO_COLOR` is not set.
    pub fn detect() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        Self { on: std::io::stdout().is_terminal() && !unwanted && !dumb }
    }

    #[cfg(test)]
    pub fn plain() -> Self {
        Self { on: false }
    }

    /// Returns whether styles are on.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// For headings.
    pub fn bold(self, text: impl AsRef<str>) -> String {
        self.paint("1", text)
    }

    /// For secondary text.
    pub fn dim(self, text: impl AsRef<str>) -> String {
        self.paint("2", text)
    }

    /// For a passed check.
    pub fn good(self, text: impl AsRef<str>) -> String {
        self.paint("32", text)
    }

    /// For a failed check.
    pub fn bad(self, text: impl AsRef<str>) -> String {
        self.paint("1;31", text)
    }

    /// For commands and requests.
    pub fn sent(self, text: impl AsRef<str>) -> String {
        self.paint("36", text)
    }

    /// For the name of the actor.
    pub fn actor(self, text: impl AsRef<str>) -> String {
        self.paint("1;33", text)
    }

    fn paint(self, code: &str, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
