//! Which handler a path has.
//!
//! ```text
//!   /                        root
//!   /rooms                    └ rooms
//!   /rooms/{room}/users           └ {room} ─ users       a name fits before a parameter,
//!   /files/{*path}            └ files ─ {*path}          a parameter before the rest
//! ```

use std::rc::Rc;

use super::handler::Spot;
use super::params::{PARAMS_MAX, Params};

/// Segments of a path that are looked at; a longer one has only the rest of a route.
const SEGMENTS_MAX: usize = 64;

/// A path with its handlers.
pub(super) struct Route {
    names: Rc<[Box<str>]>,
    methods: Vec<(Box<str>, Spot)>,
}

impl Route {
    /// The names of its parameters in order.
    pub(super) fn names(&self) -> &Rc<[Box<str>]> {
        &self.names
    }

    /// The handler of a method; of GET for HEAD, unless it has its own.
    pub(super) fn spot(&self, method: &[u8]) -> Option<&Spot> {
        let find =
            |method: &[u8]| self.methods.iter().find(|(known, _)| known.as_bytes() == method);
        let found = find(method).or_else(|| (method == b"HEAD").then(|| find(b"GET"))?);
        found.map(|(_, spot)| spot)
    }

    /// What `Allow` says.
    pub(super) fn allows(&self) -> String {
        let mut names: Vec<&str> = self.methods.iter().map(|(name, _)| &**name).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.join(", ")
    }
}

/// A segment of the tree.
#[derive(Default)]
struct Node {
    /// In order: few, and compared in place.
    names: Vec<(Box<str>, Node)>,
    param: Option<Box<Node>>,
    rest: Option<Rc<Route>>,
    route: Option<Rc<Route>>,
}

/// Routes that grow.
#[derive(Default)]
pub(super) struct Routes {
    root: Node,
}

impl Routes {
    /// Adds the handler of a method at a path.
    ///
    /// # Panics
    /// When the path is no route, or has a handler of this method.
    pub(super) fn add(&mut self, method: &str, path: &str, spot: Spot) {
        assert!(path.starts_with('/'), "a route begins with a slash: {path:?}");
        let mut names: Vec<Box<str>> = Vec::new();
        let mut node = &mut self.root;
        let mut parts = path[1..].split('/').peekable();
        let place = loop {
            let Some(part) = parts.next() else { break &mut node.route };
            let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let Some(name) = inner else {
                assert!(!part.contains(['{', '}']), "a parameter is a whole segment: {path:?}");
                node = node.child(part);
                continue;
            };
            let rest = name.strip_prefix('*');
            let name = rest.unwrap_or(name);
            assert!(!name.is_empty() && names.len() < PARAMS_MAX, "8 named parameters: {path:?}");
            assert!(names.iter().all(|known| **known != *name), "{name} twice in {path:?}");
            names.push(name.into());
            if rest.is_some() {
                assert!(parts.peek().is_none(), "the rest of a path is the last: {path:?}");
                break &mut node.rest;
            }
            node = node.param.get_or_insert_default();
        };
        let route = place.get_or_insert_with(|| {
            Rc::new(Route { names: names.as_slice().into(), methods: Vec::new() })
        });
        assert!(*route.names == *names, "the parameters of {path:?} have other names elsewhere");
        let route = Rc::get_mut(route).expect("nobody else has a route before the start");
        let is_known = route.methods.iter().any(|(known, _)| **known == *method);
        assert!(!is_known, "{method} {path} has a handler already");
        route.methods.push((method.into(), spot));
    }

    /// The route of a path, as it came: bytes are compared, so nothing is checked twice.
    pub(super) fn find(&self, path: &[u8]) -> Option<(&Rc<Route>, Params)> {
        let start = path.strip_prefix(b"/").map(|_| 1)?;
        let mut params = Params::default();
        let route = self.root.find(path, start, &mut params, SEGMENTS_MAX)?;
        Some((route, params))
    }
}

impl Node {
    /// The segment of this name, made if need be.
    fn child(&mut self, name: &str) -> &mut Node {
        let at = match self.names.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.names.insert(at, (name.into(), Node::default()));
                at
            }
        };
        &mut self.names[at].1
    }

    fn find<'a>(
        &'a self,
        path: &[u8],
        at: usize,
        params: &mut Params,
        depth: usize,
    ) -> Option<&'a Rc<Route>> {
        if at > path.len() {
            return self.route.as_ref();
        }
        let before = *params;
        if depth > 0 {
            let rest = &path[at..];
            // Segments are short: a plain loop is faster than a search that sets itself up.
            let end = at + rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let segment = &path[at..end];
            let name = self.names.binary_search_by(|(name, _)| name.as_bytes().cmp(segment));
            if let Some((_, node)) = name.ok().map(|at| &self.names[at])
                && let Some(found) = node.find(path, end + 1, params, depth - 1)
            {
                return Some(found);
            }
            *params = before;
            if let Some(node) = self.param.as_ref().filter(|_| !segment.is_empty()) {
                params.push(at, end);
                if let Some(found) = node.find(path, end + 1, params, depth - 1) {
                    return Some(found);
                }
                *params = before;
            }
        }
        self.rest.as_ref().inspect(|_| params.push(at, path.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(routes: &[&str], path: &str) -> Option<(Vec<String>, Vec<String>)> {
        let mut tree = Routes::default();
        routes.iter().for_each(|route| tree.add("GET", route, Spot::nowhere()));
        let (route, params) = tree.find(path.as_bytes())?;
        let names = route.names().iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let values = (0..names.len()).map(|at| params.at(at, path).to_owned()).collect();
        Some((names, values))
    }

    #[test]
    fn names_come_before_parameters_and_these_before_the_rest() {
        let routes = ["/", "/a", "/a/{b}", "/a/b", "/a/{b}/c", "/a/{*rest}", "/d/{x}/{y}"];
        let is = |names: &[&str], values: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            Some((own(names), own(values)))
        };
        assert_eq!(found(&routes, "/"), is(&[], &[]));
        assert_eq!(found(&routes, "/a"), is(&[], &[]));
        assert_eq!(found(&routes, "/a/b"), is(&[], &[]));
        assert_eq!(found(&routes, "/a/x"), is(&["b"], &["x"]));
        assert_eq!(found(&routes, "/a/x/c"), is(&["b"], &["x"]));
        assert_eq!(found(&routes, "/a/b/c"), is(&["b"], &["b"]), "the name led nowhere");
        assert_eq!(found(&routes, "/a/x/d"), is(&["rest"], &["x/d"]));
        assert_eq!(found(&routes, "/a/"), is(&["rest"], &[""]));
        assert_eq!(found(&routes, "/d/1/2"), is(&["x", "y"], &["1", "2"]));
        for missing in ["/b", "/d/1", "/d//2", "/d/1/2/3", "", "*", "/a?"] {
            assert_eq!(found(&routes, missing), None, "{missing}");
        }
    }

    #[test]
    fn a_path_of_slashes_costs_no_stack() {
        let path = "/".repeat(60_000);
        assert_eq!(found(&["/{*rest}"], &path).map(|found| found.1[0].len()), Some(59_999));
        assert_eq!(found(&["/a"], &path), None);
    }

    #[test]
    fn a_route_that_cannot_be_is_refused_at_once() {
        for routes in [&["a"][..], &["/{a}/{a}"], &["/{*a}/b"], &["/x{a}"], &["/{}"], &["/a", "/a"]]
        {
            assert!(std::panic::catch_unwind(|| found(routes, "/")).is_err(), "{routes:?}");
        }
    }
}
