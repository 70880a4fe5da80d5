//! What the edge counts. Handles are made once, at start: counting is an atomic addition, never a look-up of labels.

use std::time::Duration;

use ahash::HashMap;
use http::{Method, StatusCode};
use kit::Code;
use metrics::{Counter, Gauge, Histogram};

pub(crate) struct Meters {
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    routes: Vec<Route>,
    /// Requests that met no route.
    unrouted: Route,
    /// By path, then method: index into `routes`.
    index: HashMap<String, Vec<(Method, usize)>>,
    problems: Vec<Counter>,
}

struct Route {
    path: String,
    /// By the first digit of the status.
    classes: [Counter; 5],
    seconds: Histogram,
}

impl Meters {
    /// Install the recorder first ([`crate::metrics::install`]): what is made before it counts nowhere.
    pub(crate) fn new(routes: &[(Method, String)]) -> Self {
        let mut index: HashMap<String, Vec<(Method, usize)>> = HashMap::default();
        for (number, (method, path)) in routes.iter().enumerate() {
            index.entry(path.clone()).or_default().push((method.clone(), number));
        }
        let problem = |code: &Code| metrics::counter!("http_problems_total", "code" => code.as_str());
        Self {
            in_flight: metrics::gauge!("http_requests_in_flight"),
            connections: metrics::gauge!("http_connections"),
            routes: routes.iter().map(|(method, path)| Route::new(method.as_str(), path)).collect(),
            unrouted: Route::new("any", "none"),
            index,
            problems: Code::ALL.iter().chain([&Code::Unknown]).map(problem).collect(),
        }
    }

    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<usize> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.index.get(path)?.iter().find(|(known, _)| known == method).map(|(_, number)| *number)
    }

    /// The pattern of a route, for log lines.
    pub(crate) fn path(&self, route: Option<usize>) -> &str {
        &self.of(route).path
    }

    pub(crate) fn count(&self, route: Option<usize>, status: StatusCode, took: Duration) {
        let route = self.of(route);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        route.classes[class].increment(1);
        route.seconds.record(took.as_secs_f64());
    }

    pub(crate) fn count_problem(&self, code: Code) {
        if let Some(counter) = self.problems.get(code as usize) {
            counter.increment(1);
        }
    }

    fn of(&self, route: Option<usize>) -> &Route {
        route.and_then(|route| self.routes.get(route)).unwrap_or(&self.unrouted)
    }
}

impl Route {
    fn new(method: &str, path: &str) -> Self {
        let class = |class: &'static str| {
            let (method, route) = (method.to_owned(), path.to_owned());
            metrics::counter!("http_requests_total", "method" => method, "route" => route, "class" => class)
        };
        let (method_label, route_label) = (method.to_owned(), path.to_owned());
        Self {
            path: path.to_owned(),
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            seconds: metrics::histogram!("http_request_seconds", "method" => method_label, "route" => route_label),
        }
    }
}
