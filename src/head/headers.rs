use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The fields of a head, in their order. What looks for one looks at them in turn: whoever takes a head from outside limits
/// how many it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// Fields that are added to a head on its way, but for those of the configuration: the host, those that tell who the client
/// is, the request's id, and Via. To find room for them later costs more than to add them.
const ADDED: usize = 8;

/// What fields are looked for by.
pub trait Wanted {
    /// Whether a field of this name is looked for.
    fn is(&self, name: &HeaderName) -> bool;
}

impl Wanted for HeaderName {
    fn is(&self, name: &HeaderName) -> bool {
        self == name
    }
}

impl Wanted for &HeaderName {
    fn is(&self, name: &HeaderName) -> bool {
        *self == name
    }
}

/// In lower case.
impl Wanted for &str {
    fn is(&self, name: &HeaderName) -> bool {
        name == *self
    }
}

impl Headers {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No fields, with room for so many that come and for those that are added on their way.
    #[must_use]
    pub fn with_room(fields: usize) -> Self {
        Self(Vec::with_capacity(fields.saturating_add(ADDED)))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names of all fields; one that comes twice is given twice.
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The value of the first field of a name.
    pub fn get(&self, wanted: impl Wanted) -> Option<&HeaderValue> {
        self.0.iter().find(|(name, _)| wanted.is(name)).map(|(_, value)| value)
    }

    /// The values of all fields of a name.
    pub fn get_all<W: Wanted>(&self, wanted: W) -> impl Iterator<Item = &HeaderValue> + use<'_, W> {
        self.0.iter().filter(move |(name, _)| wanted.is(name)).map(|(_, value)| value)
    }

    /// Whether there is a field of a name.
    pub fn contains_key(&self, wanted: impl Wanted) -> bool {
        self.get(wanted).is_some()
    }

    /// Puts a field behind the others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Puts a field in the place of the first of its name, and takes the others of it out; or behind all, if there is none.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let mut same = self.0.iter_mut().filter(|(other, _)| *other == name);
        let Some((_, first)) = same.next() else {
            self.0.push((name, value));
            return;
        };
        *first = value;
        if same.next().is_some() {
            let mut seen = false;
            self.0.retain(|(other, _)| *other != name || !std::mem::replace(&mut seen, true));
        }
    }

    /// Puts a field behind the others, if there is none of its name.
    pub fn insert_if_absent(&mut self, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
        if !self.contains_key(&name) {
            self.0.push((name, value()));
        }
    }

    /// Takes all fields of a name out. Gives the value of the first.
    pub fn remove(&mut self, wanted: impl Wanted) -> Option<HeaderValue> {
        let place = self.0.iter().position(|(name, _)| wanted.is(name))?;
        let (_, value) = self.0.remove(place);
        self.remove_where(|name| wanted.is(name));
        Some(value)
    }

    /// Takes all fields out whose name is unwanted.
    pub fn remove_where(&mut self, unwanted: impl Fn(&HeaderName) -> bool) {
        // Most heads have none: nothing is moved then.
        if self.keys().any(&unwanted) {
            self.0.retain(|(name, _)| !unwanted(name));
        }
    }

    /// Puts fields behind the others.
    pub fn extend<'a>(&mut self, fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>) {
        self.0.extend(fields.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        let mut headers = Self::with_room(map.len());
        let mut last = None;
        for (name, value) in map {
            // A map names only the first field of each name.
            last = name.or(last);
            if let Some(name) = &last {
                headers.append(name.clone(), value);
            }
        }
        headers
    }
}

impl From<Headers> for HeaderMap {
    fn from(headers: Headers) -> Self {
        let mut map = Self::with_capacity(headers.len());
        for (name, value) in headers.0 {
            map.append(name, value);
        }
        map
    }
}

#[cfg(test)]
impl std::ops::Index<&str> for Headers {
    type Output = HeaderValue;

    fn index(&self, name: &str) -> &HeaderValue {
        self.get(name).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 4] = ["host", "accept", "x-one", "x-two"];

    /// What is done to fields, by the place of a name.
    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Insert(usize),
        InsertIfAbsent(usize),
        Remove(usize),
        RemoveWhere(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let name = || 0..NAMES.len();
        let step = prop_oneof![
            name().prop_map(Step::Append),
            name().prop_map(Step::Append),
            name().prop_map(Step::Insert),
            name().prop_map(Step::InsertIfAbsent),
            name().prop_map(Step::Remove),
            (name(), name()).prop_map(|(one, other)| Step::RemoveWhere(one, other)),
        ];
        proptest::collection::vec(step, 0..24)
    }

    proptest! {
        #[test]
        fn every_name_has_the_values_that_it_has_in_a_map(steps in steps()) {
            let (mut list, mut map) = (Headers::new(), HeaderMap::new());
            for (turn, step) in steps.into_iter().enumerate() {
                let (name, value) = (|place: usize| HeaderName::from_static(NAMES[place]), HeaderValue::from(turn));
                match step {
                    Step::Append(place) => {
                        list.append(name(place), value.clone());
                        map.append(name(place), value);
                    }
                    Step::Insert(place) => {
                        list.insert(name(place), value.clone());
                        map.insert(name(place), value);
                    }
                    Step::InsertIfAbsent(place) => {
                        list.insert_if_absent(name(place), || value.clone());
                        map.entry(name(place)).or_insert(value);
                    }
                    Step::Remove(place) => prop_assert_eq!(list.remove(NAMES[place]), map.remove(NAMES[place])),
                    Step::RemoveWhere(one, other) => {
                        list.remove_where(|name| [NAMES[one], NAMES[other]].contains(&name.as_str()));
                        map.remove(NAMES[one]);
                        map.remove(NAMES[other]);
                    }
                }
                prop_assert_eq!((list.len(), list.is_empty()), (map.len(), map.is_empty()));
                for name in NAMES {
                    prop_assert!(list.get_all(name).eq(map.get_all(name)));
                    prop_assert_eq!((list.get(name), list.contains_key(name)), (map.get(name), map.contains_key(name)));
                }
            }
            prop_assert_eq!(HeaderMap::from(list.clone()), map.clone());
            // A map gives those of one name side by side.
            let grouped = Headers::from(map.clone());
            prop_assert_eq!(HeaderMap::from(grouped), map);
        }
    }

    #[test]
    fn fields_keep_their_order() {
        let mut headers = Headers::with_room(3);
        for (name, value) in [("x-one", "1"), ("host", "a"), ("x-one", "2"), ("x-two", "3"), ("x-one", "4")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(HeaderName::from_static("x-one"), HeaderValue::from_static("5"));
        headers.insert(HeaderName::from_static("x-two"), HeaderValue::from_static("6"));
        headers.insert(HeaderName::from_static("accept"), HeaderValue::from_static("*/*"));
        let all: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(all, [("x-one", "5"), ("host", "a"), ("x-two", "6"), ("accept", "*/*")]);
        assert_eq!(headers.keys().count(), 4);
    }
}
