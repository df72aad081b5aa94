use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line's text, or the part around the column of a long one; values of secret keys are dots.
    pub excerpt: String,
    /// Blanks and carets that mark the place below the excerpt.
    pub caret: String,
    /// What to do, if that is known.
    pub help: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, excerpt, caret, help } = self;
        write!(formatter, "{}:{line}:{column}: {message}\n{excerpt}\n{caret}", path.display())?;
        match help {
            Some(help) => write!(formatter, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration: never empty, in the order of the file, nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
    omitted: usize,
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self { list: vec![fault], omitted: 0 }
    }
}

impl Faults {
    /// Puts faults in order and drops repetitions; `None` if there are none. `omitted` are more that are only counted.
    #[must_use]
    pub fn new(mut faults: Vec<Fault>, omitted: usize) -> Option<Self> {
        faults.sort_by(|a, b| (&a.path, a.line, a.column, &a.message).cmp(&(&b.path, b.line, b.column, &b.message)));
        faults.dedup();
        if faults.is_empty() { None } else { Some(Self { list: faults, omitted }) }
    }

    /// All of several, in order.
    #[must_use]
    pub fn all(several: impl IntoIterator<Item = Self>) -> Option<Self> {
        let (mut list, mut omitted) = (Vec::new(), 0_usize);
        for faults in several {
            list.extend(faults.list);
            omitted = omitted.saturating_add(faults.omitted);
        }
        Self::new(list, omitted)
    }

    /// How many more there are that are only counted.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Each fault, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            fault.fmt(formatter)?;
        }
        if self.omitted > 0 {
            write!(formatter, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
