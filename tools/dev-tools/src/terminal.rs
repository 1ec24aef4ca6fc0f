//! Colours where somebody is watching, plain text where a program is.

use std::io::IsTerminal;

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    on: bool,
}

impl TextStyle {
    /// Colours when standard output is a terminal that has some and `NO_COLOR` is not set.
    pub fn detect() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        Self { on: std::io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// Whether somebody is watching.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// What is most important.
    pub fn bold(self, text: impl AsRef<str>) -> String {
        self.paint("1", text)
    }

    /// What can be overlooked.
    pub fn dim(self, text: impl AsRef<str>) -> String {
        self.paint("2", text)
    }

    /// What went well.
    pub fn good(self, text: impl AsRef<str>) -> String {
        self.paint("32", text)
    }

    /// What did not.
    pub fn bad(self, text: impl AsRef<str>) -> String {
        self.paint("1;31", text)
    }

    /// What was typed or sent.
    pub fn sent(self, text: impl AsRef<str>) -> String {
        self.paint("36", text)
    }

    /// Who does it.
    pub fn actor(self, text: impl AsRef<str>) -> String {
        self.paint("1;33", text)
    }

    fn paint(self, code: &str, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
