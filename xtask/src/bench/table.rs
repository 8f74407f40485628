//! The route tables of the runs: which routes there are, and which requests take them.

/// How a route's path is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// "/r7", for every path below it.
    Prefix,
    /// "/e7/1k" alone.
    Exact,
    /// A regular expression that takes "/x7/1k".
    Regex,
}

/// So many routes of each shape, all to one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteTable {
    /// Routes by prefix.
    pub(crate) prefix: u32,
    /// Routes by exact path.
    pub(crate) exact: u32,
    /// Routes by regular expression.
    pub(crate) regex: u32,
}

/// One route of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteSpec {
    /// How its path is written.
    pub(crate) shape: Shape,
    /// Which one of its shape, from 0.
    pub(crate) index: u32,
}

impl RouteTable {
    /// Number of routes.
    pub(crate) fn len(&self) -> usize {
        [self.prefix, self.exact, self.regex].iter().map(|n| *n as usize).sum()
    }

    /// Every route. Exact ones and prefixes take turns, so that any stretch of the table holds both.
    pub(crate) fn routes(&self) -> impl Iterator<Item = RouteSpec> {
        let RouteTable { prefix, exact, regex } = *self;
        (0..prefix.max(exact).max(regex)).flat_map(move |index| {
            [(Shape::Prefix, prefix), (Shape::Exact, exact), (Shape::Regex, regex)]
                .into_iter()
                .filter(move |(_, count)| index < *count)
                .map(move |(shape, _)| RouteSpec { shape, index })
        })
    }

    /// Beginnings of request paths, spread evenly over the table: at most `limit`.
    pub(crate) fn sample(&self, limit: usize) -> Vec<String> {
        let step = self.len().div_ceil(limit.max(1)).max(1);
        // An odd step meets both shapes of a table in which two take turns.
        let step = if step > 1 { step | 1 } else { step };
        self.routes().step_by(step).map(|r| r.request()).collect()
    }
}

impl RouteSpec {
    /// The last part of the route's name.
    pub(crate) fn id(&self) -> String {
        format!("{}{}", self.letter(), self.index)
    }

    /// What a request's path begins with to take this route; "/1k" and the like follow.
    pub(crate) fn request(&self) -> String {
        format!("/{}", self.id())
    }

    fn letter(&self) -> char {
        match self.shape {
            Shape::Prefix => 'r',
            Shape::Exact => 'e',
            Shape::Regex => 'x',
        }
    }

    /// The route as a document for `hotswap apply`.
    pub(crate) fn document(&self, pool: &str) -> String {
        let id = self.id();
        let path = match self.shape {
            Shape::Prefix => format!("prefix: \"/{id}\""),
            Shape::Exact => format!("exact: \"/{id}/1k\""),
            Shape::Regex => format!("regex: \"/{id}/[0-9a-z]+\""),
        };
        format!(
            "kind: Route\nname: routes/{id}\nmatches: [{{path: {{{path}}}}}]\nforward: {{pool: {pool}}}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_take_turns() {
        let table = RouteTable { prefix: 2, exact: 2, regex: 0 };
        let ids: Vec<_> = table.routes().map(|r| r.id()).collect();
        assert_eq!(ids, ["r0", "e0", "r1", "e1"]);
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn a_sample_of_a_large_table_is_small_and_holds_both_shapes() {
        let table = RouteTable { prefix: 50_000, exact: 50_000, regex: 0 };
        let sample = table.sample(1000);
        assert!(sample.len() <= 1000 && sample.len() > 900, "{}", sample.len());
        let exact = sample.iter().filter(|p| p.starts_with("/e")).count();
        assert!(exact.abs_diff(sample.len() / 2) <= 1, "{exact} of {}", sample.len());
    }

    #[test]
    fn a_small_table_is_sampled_whole() {
        let table = RouteTable { regex: 3, ..Default::default() };
        assert_eq!(table.sample(1000), ["/x0", "/x1", "/x2"]);
    }

    #[test]
    fn a_document_has_the_shape_of_the_resource() {
        let route = RouteSpec { shape: Shape::Prefix, index: 7 };
        assert_eq!(
            route.document("pools/bench"),
            "kind: Route\nname: routes/r7\nmatches: [{path: {prefix: \"/r7\"}}]\nforward: {pool: pools/bench}\n"
        );
    }
}
