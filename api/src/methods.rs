//! Which methods each path takes, for the `Allow` header that the framework leaves out.

use poem::http::Method;
use poem_openapi::OpenApi;

/// The methods of every path of the specification.
#[derive(Debug)]
pub(crate) struct Methods(Vec<(String, String)>);

impl Methods {
    /// Reads them from the declarations of `T`.
    pub(crate) fn of<T: OpenApi>() -> Self {
        let paths = T::meta().into_iter().flat_map(|api| api.paths);
        let methods = paths.map(|path| {
            let of_path = path
                .operations
                .iter()
                .map(|operation| operation.method.clone());
            let allowed = allow(of_path.collect());
            (path.path, allowed)
        });
        Self(methods.collect())
    }

    /// The value of `Allow` for a path. Pages outside of the specification can be read only.
    pub(crate) fn allow(&self, path: &str) -> &str {
        let found = self
            .0
            .iter()
            .filter(|(template, _)| matches(template, path));
        // `/v1/tasks/batch` is not an id.
        let closest = found.min_by_key(|(template, _)| template.matches('{').count());
        closest.map_or("GET, HEAD", |(_, methods)| methods)
    }
}

fn allow(mut methods: Vec<Method>) -> String {
    // The framework answers HEAD wherever there is a GET.
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

/// Whether a path has the form of a template such as `/v1/tasks/{id}`.
fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted == part || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_matches_whole_paths_only() {
        assert!(matches("/v1/tasks/{id}/events", "/v1/tasks/7/events"));
        assert!(!matches("/v1/tasks/{id}", "/v1/tasks"));
        assert!(!matches("/v1/tasks/{id}", "/v1/tasks/7/events"));
    }
}
