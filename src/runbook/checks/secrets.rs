//! Where secret parameters may be read: in the environment and the input of a program, as they are, and
//! nowhere else. Whatever else holds a value is shown, kept, or seen by other processes.

use std::ops::Range;

use super::{Checker, LONGEST_CHAIN};
use crate::catalog::Action;
use crate::diagnostic::Kind;
use crate::document::Node;
use crate::template::{self, Expression, Piece, Read, Type};

/// What an expression stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holder {
    /// Something that is shown.
    #[default]
    Shown,
    /// The arguments of a program: everybody on its machine sees them.
    Argv,
    /// The environment or input of a program.
    Sealed,
    /// A variable: what matters is where that is read.
    Variable,
}

impl Holder {
    /// An argument of an action.
    pub(super) fn of(action: &Action, argument: &str) -> Self {
        match (action.name, argument) {
            ("command.run", "argv") => Self::Argv,
            ("command.run", "env" | "stdin") => Self::Sealed,
            _ => Self::Shown,
        }
    }
}

impl Checker<'_> {
    /// Says where an expression reads a secret that its place does not keep.
    pub(super) fn secrets_kept(
        &mut self,
        node: &Node,
        inner: &Range<usize>,
        expression: &Expression,
    ) {
        let whole = expression.reads.len() == 1 && matches!(expression.kind, Type::Read(0));
        for read in &expression.reads {
            let Some(name) = self.secret_behind(read, 0) else {
                continue;
            };
            let (range, message, expected) = match self.holder {
                Holder::Sealed | Holder::Variable if whole && !read.open => continue,
                Holder::Sealed | Holder::Variable => (
                    inner.clone(),
                    format!(
                        "`{name}` is secret: what is made of it could not be told from other text"
                    ),
                    "the secret as it is; there may be text around the `${{ … }}`",
                ),
                Holder::Argv => (
                    read.range(),
                    format!(
                        "`{name}` is secret, and everybody on the machine sees a program's arguments"
                    ),
                    "it in `env` or `stdin` of the command",
                ),
                Holder::Shown => (
                    read.range(),
                    format!("`{name}` is secret, and this is shown and kept"),
                    "it in `env` or `stdin` of `command.run`, and nowhere else",
                ),
            };
            let document = self.names.document;
            let diagnostic = document.within(node, range, Kind::Parameter, message);
            self.problems.push(diagnostic.expected(expected));
        }
    }

    /// The secret that a name gives, through variables too.
    fn secret_behind(&self, read: &Read, depth: usize) -> Option<String> {
        let name = read.name(1)?;
        match read.name(0)? {
            "params" => {
                let parameter = self.names.params.get(name)?;
                parameter.secret.then(|| name.to_owned())
            }
            "vars" if depth < LONGEST_CHAIN => {
                let (_, node) = self.names.vars.get(name)?;
                self.secret_in(node, depth + 1)
            }
            _ => None,
        }
    }

    fn secret_in(&self, node: &Node, depth: usize) -> Option<String> {
        let text = node.text().unwrap_or_default();
        let holes = template::split(text).unwrap_or_default().into_iter();
        let inner = holes.filter_map(|piece| match piece {
            Piece::Hole { inner, .. } => Some(inner),
            Piece::Text(_) => None,
        });
        let mut reads = inner
            .filter_map(|inner| template::parse(&text[inner], 0).ok())
            .flat_map(|expression| expression.reads);
        reads
            .find_map(|read| self.secret_behind(&read, depth))
            .or_else(|| {
                let mut items = node.items().iter();
                items.find_map(|item| self.secret_in(item, depth))
            })
            .or_else(|| {
                let mut entries = node.entries();
                entries.find_map(|(_, value)| self.secret_in(value, depth))
            })
    }
}
