//! Rows on stderr that overwrite the former ones, where stderr is a terminal.

use std::io::IsTerminal;

pub struct Canvas {
    terminal: bool,
    /// Lines of the previous drawing.
    drawn: usize,
}

impl Canvas {
    pub fn stderr() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            drawn: 0,
        }
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Over what was drawn before; on a terminal only.
    pub fn redraw(&mut self, rows: &[String]) {
        let up = match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        };
        // Without wrapping while drawing: a wrapped line would be two to overwrite.
        eprintln!("{up}\x1b[?7l{}\x1b[?7h", rows.join("\n"));
        self.drawn = rows.len();
    }
}
