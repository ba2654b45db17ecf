//! `docs/openapi.json` as a judge: an answer has a status it names, the headers it names, and a body of its schema.

use serde_json::Value;

use crate::web::Answer;

const TEXT: &str = include_str!("../../../../../docs/openapi.json");

pub struct Description(pub Value);

impl Description {
    pub fn read() -> Description {
        Description(serde_json::from_str(TEXT).expect("JSON"))
    }

    pub fn holds(&self, path: &str, method: &str, answer: &Answer) {
        let responses = &self.0["paths"][path][method]["responses"];
        let described = &responses[answer.status.to_string()];
        assert!(
            described.is_object(),
            "{method} {path} is not said to answer {}",
            answer.status
        );
        let headers = described["headers"].as_object();
        for name in headers.into_iter().flat_map(|all| all.keys()) {
            assert!(answer.header(name).is_some(), "no {name}: {answer:?}");
        }
        let kind = answer.header("content-type").unwrap_or_default();
        let schema = &described["content"][kind]["schema"];
        let body: Value = serde_json::from_str(&answer.body).expect(&answer.body);
        self.fits(schema, &body, path);
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().expect("a name");
            return self.fits(&self.0["components"]["schemas"][name], value, at);
        }
        let good = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            other => panic!("{at} is described as {other:?}"),
        };
        assert!(good, "{at}: {value} is no {}", schema["type"]);
        if let Some(allowed) = schema["enum"].as_array() {
            assert!(
                allowed.contains(value),
                "{at}: {value} is none of {allowed:?}"
            );
        }
        for one in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], one, at);
        }
        let fields = value.as_object();
        let known = &schema["properties"];
        for name in schema["required"].as_array().into_iter().flatten() {
            let there = fields.is_some_and(|all| all.contains_key(name.as_str().expect("a name")));
            assert!(there, "{at}: {name} is missing in {value}");
        }
        if schema["additionalProperties"] == false {
            for (name, one) in fields.into_iter().flatten() {
                assert!(known[name].is_object(), "{at}: {name} is not described");
                self.fits(&known[name], one, &format!("{at}.{name}"));
            }
        }
    }
}
