use super::kind::{Problem, TextKind};

/// The path of a file, as it is written: relative to the folder of the configuration.
#[derive(Clone, Debug)]
pub(in crate::config) struct FilePath(pub(in crate::config) String);

impl TextKind for FilePath {
    fn expected() -> String {
        "the path of a file".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check(text)?;
        if text.is_empty() {
            return Err(Problem::new("the path is empty"));
        }
        Ok(Self(text.into()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The path of a socket, or `""` for none.
#[derive(Clone, Debug)]
pub(in crate::config) struct SocketPath(pub(in crate::config) String);

impl TextKind for SocketPath {
    fn expected() -> String {
        "the path of a socket, or \"\" for off".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check(text)?;
        Ok(Self(text.into()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The path of a file, or `""` for none.
#[derive(Clone, Debug)]
pub(in crate::config) struct PathOrOff(pub(in crate::config) String);

impl TextKind for PathOrOff {
    fn expected() -> String {
        "the path of a file, or \"\" for none".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        check(text)?;
        Ok(Self(text.into()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

fn check(text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::new("a path cannot hold a NUL character"));
    }
    Ok(())
}
