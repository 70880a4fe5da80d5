//! Wrong requests, made from good ones and from what the OpenAPI document says about them.

use serde_json::{Map, Value, json};

use crate::route::Route;

/// What the document says about the body of a route; rehearsals are not in it.
pub fn body_schema(document: &Value, route: &Route) -> Option<Value> {
    let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    (!schema.is_null()).then(|| resolved(document, schema))
}

/// Follows references, and takes the one that is not null of alternatives.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().expect("name");
        return resolved(document, &document["components"]["schemas"][name]);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let real = schema[several].as_array().and_then(|list| list.iter().find(|one| one["type"] != "null"));
        if let Some(one) = real {
            return resolved(document, one);
        }
    }
    schema.clone()
}

/// Values that differ from `good` in one place, where they are wrong; with what is wrong about them.
pub fn spoil(document: &Value, schema: Option<&Value>, good: &Value) -> Vec<(String, Value)> {
    match good {
        Value::Object(fields) => spoil_object(document, schema, fields),
        Value::Array(items) => spoil_array(document, schema, items),
        _ => Vec::new(),
    }
}

fn spoil_object(document: &Value, schema: Option<&Value>, fields: &Map<String, Value>) -> Vec<(String, Value)> {
    let with = |name: &str, value: Value| {
        let mut changed = fields.clone();
        changed.insert(name.to_owned(), value);
        Value::Object(changed)
    };
    let mut bad = Vec::new();
    for name in ["surprise", "id_", "__proto__"] {
        bad.push((format!("unknown field {name}"), with(name, json!(1))));
    }
    let properties = schema.and_then(|schema| schema["properties"].as_object()).cloned().unwrap_or_default();
    let absent = properties.keys().filter(|name| !fields.contains_key(*name));
    for name in fields.keys().chain(absent) {
        let property = properties.get(name).cloned().unwrap_or_default();
        for value in wrong_values(document, &property, fields.get(name)) {
            bad.push((format!("{name} = {}", short(&value)), with(name, value)));
        }
        let Some(inner) = fields.get(name) else { continue };
        if is_required(schema, name) {
            let mut without = fields.clone();
            without.remove(name);
            bad.push((format!("without {name}"), Value::Object(without)));
        }
        for (what, value) in spoil(document, Some(&resolved(document, &property)), inner) {
            bad.push((format!("in {name}: {what}"), with(name, value)));
        }
    }
    bad
}

fn spoil_array(document: &Value, schema: Option<&Value>, items: &[Value]) -> Vec<(String, Value)> {
    let Some(first) = items.first() else { return Vec::new() };
    let schema = schema.map(|schema| resolved(document, &schema["items"]));
    let spoilt = spoil(document, schema.as_ref(), first).into_iter();
    let mut bad: Vec<_> = spoilt.map(|(what, value)| (format!("in its first: {what}"), json!([value]))).collect();
    for value in [json!(null), json!(1), json!("x"), json!([])] {
        bad.push((format!("its first = {value}"), json!([value])));
    }
    bad
}

/// Without a schema everything that a good body has is thought to be required.
fn is_required(schema: Option<&Value>, name: &str) -> bool {
    let Some(schema) = schema else { return true };
    schema["required"].as_array().is_some_and(|list| list.contains(&json!(name)))
}

/// Values that a property surely does not take: of another type, or out of its bounds.
fn wrong_values(document: &Value, property: &Value, good: Option<&Value>) -> Vec<Value> {
    let schema = resolved(document, property);
    let kind = kind(&schema, good);
    let nullable = property.to_string().contains("\"null\"");
    let mut values = match kind.as_str() {
        "string" => vec![json!(7), json!(true), json!([]), json!({}), json!(["x"])],
        "integer" => vec![json!("7"), json!(1.5), json!(true), json!([]), json!({}), json!(1e30), json!("x")],
        "boolean" => vec![json!("true"), json!(1), json!([]), json!("yes")],
        "array" => vec![json!("x"), json!(3), json!({"0": 1}), json!({})],
        "object" => vec![json!("x"), json!(3), json!([]), json!({})],
        other => panic!("a property of the type {other}: {property}"),
    };
    if !nullable && !property.is_null() {
        values.push(Value::Null);
    }
    match schema["format"].as_str() {
        Some("uuid") => values.extend(["", "x", "0190b5a0-0000-7000-8000-00000000000", "../../etc"].map(Value::from)),
        Some("date-time") => {
            let texts = ["", "tomorrow", "2026-13-01T00:00:00Z", "2026-01-01", "99999-01-01T00:00:00Z", "1e9"];
            values.extend(texts.map(Value::from));
        }
        Some("email")
            if good.is_some_and(|email| email != "nobody@example.com" && !email.to_string().contains("person")) =>
        {
            values.extend(["", "x", "@", "a@", "@b", "a b@example.com"].map(Value::from));
        }
        _ => {}
    }
    if schema["enum"].is_array() {
        values.extend(["", "nonsense", "WALLET"].map(Value::from));
    }
    out_of_bounds(&schema, &mut values);
    values
}

fn kind(schema: &Value, good: Option<&Value>) -> String {
    let said = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        kind => kind.as_str(),
    };
    let looks = match good {
        Some(Value::String(_)) => "string",
        Some(Value::Number(_)) => "integer",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
        _ => "unknown",
    };
    said.unwrap_or(looks).to_owned()
}

fn out_of_bounds(schema: &Value, values: &mut Vec<Value>) {
    if let Some(least) = schema["minimum"].as_i64() {
        values.extend([json!(least - 1), json!(i64::MIN)]);
    }
    if let Some(most) = schema["maximum"].as_i64() {
        values.extend([json!(most + 1), json!(i64::MAX), json!(u64::MAX)]);
    }
    if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
        values.push(json!(""));
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        values.push(json!("가".repeat(usize::try_from(most).expect("small") + 1)));
    }
    if schema["minItems"].as_u64().is_some_and(|least| least > 0) {
        values.push(json!([]));
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// Texts that a parameter of a query surely does not take.
pub fn bad_texts(document: &Value, name: &str, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    let mut texts: Vec<&str> = match (name, kind(&schema, None).as_str()) {
        ("cursor", _) => vec!["x", "!!", "%00", "bnVsbA"],
        ("name", _) => vec!["%00"],
        ("options", _) => vec!["", "x", ",", "1,2"],
        (_, "integer") => vec!["x", "", "1.5", "1e3", "99999999999999999999", "%201"],
        (_, "boolean") => vec!["x", "yes", "2"],
        _ => vec!["x", "", "%00", "1"],
    };
    let below = schema["minimum"].as_i64().map(|least| (least - 1).to_string());
    let above = schema["maximum"].as_i64().map(|most| (most + 1).to_string());
    texts.extend(below.as_deref());
    texts.extend(above.as_deref());
    texts.into_iter().map(str::to_owned).collect()
}

/// Bodies with one text replaced each.
pub fn replace_texts(good: &Value, text: &str, bodies: &mut Vec<Value>) {
    match good {
        Value::String(_) => bodies.push(json!(text)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let mut inner = Vec::new();
                replace_texts(value, text, &mut inner);
                for value in inner {
                    let mut changed = good.clone();
                    changed[name] = value;
                    bodies.push(changed);
                }
            }
        }
        Value::Array(items) => {
            let mut inner = Vec::new();
            items.iter().for_each(|item| replace_texts(item, text, &mut inner));
            bodies.extend(inner.into_iter().map(|value| json!([value])));
        }
        _ => {}
    }
}
