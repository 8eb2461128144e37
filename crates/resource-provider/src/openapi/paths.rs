//! Paths, methods, and what goes with every request and answer.

use arm::resource_type::{Action, Generation, Verb};
use arm::{ApiVersion, NAMESPACE, ResourceType};
use serde_json::{Map, Value, json};

use super::{reference, schema, schemas};
use crate::api::OF_SUBSCRIPTIONS;

const SUBSCRIPTION: &str = "/subscriptions/{subscriptionId}";
const GROUP: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}";

/// All paths.
pub fn all() -> Value {
    let mut paths = Map::new();
    for kind in ResourceType::ALL {
        for (spelling, versions) in spellings(kind) {
            of_type(&mut paths, kind, &spelling, &versions);
        }
    }
    of_provider(&mut paths);
    Value::Object(paths)
}

/// How versions write a type, and which do so.
fn spellings(kind: ResourceType) -> Vec<(String, Vec<ApiVersion>)> {
    let mut all: Vec<(String, Vec<ApiVersion>)> = Vec::new();
    for version in kind.versions() {
        let path = kind.path(*version);
        match all.iter_mut().find(|(spelling, _)| *spelling == path) {
            Some((_, versions)) => versions.push(*version),
            None => all.push((path, vec![*version])),
        }
    }
    all
}

/// The parameters of the names of a type and what is above it, outermost first.
fn names(kind: ResourceType) -> Vec<&'static str> {
    let own = match kind {
        ResourceType::IomtConnector => vec!["serviceName", "iomtConnectorName"],
        ResourceType::Connection => vec!["connectionName"],
        ResourceType::IomtMapping => vec!["mappingType"],
        ResourceType::Workspace => vec!["workspaceName"],
        ResourceType::IotConnector => vec!["iotConnectorName"],
        ResourceType::FhirDestination => vec!["fhirDestinationName"],
        ResourceType::IotMapping => vec!["mappingName"],
    };
    [kind.parent().map(names).unwrap_or_default(), own].concat()
}

fn of_type(paths: &mut Map<String, Value>, kind: ResourceType, spelling: &str, versions: &[ApiVersion]) {
    let names = names(kind);
    let mut collection = format!("{GROUP}/providers/{NAMESPACE}");
    let mut above: Vec<Value> = ["subscriptionId", "resourceGroupName"].map(parameter).into();
    let last = names.len() - 1;
    for (segment, name) in spelling.split('/').zip(&names[..last]) {
        collection.push_str(&format!("/{segment}/{{{name}}}"));
        above.push(parameter(name));
    }
    collection.push_str(&format!("/{}", spelling.rsplit('/').next().unwrap_or_default()));
    let item = format!("{collection}/{{{}}}", names[last]);
    let version = api_version(versions);
    // Names are unique; the two generations and spellings call things alike.
    let id = format!("{}{kind:?}", if spelling.ends_with("/destinations") { "Short" } else { "" });

    let of_item = [above.clone(), vec![parameter(names[last]), version.clone()]].concat();
    let mut methods = json!({ "parameters": of_item });
    for verb in kind.verbs() {
        methods[verb.method().to_lowercase()] = operation(kind, *verb, &id);
    }
    methods["head"] = json!({
        "operationId": format!("{id}_Head"), "tags": [tag(kind)], "summary": "Reads whether there is one.",
        "responses": {
            "200": { "description": "There is.", "headers": common_headers(&["ETag"]) },
            "default": { "description": "There is none, or it cannot be read." },
        },
    });
    paths.insert(item.clone(), methods);
    for action in kind.actions() {
        let path = format!("{item}/{}", action.segment());
        paths.insert(path, json!({ "parameters": of_item, "post": act(kind, *action) }));
    }
    let of_list = [above, vec![version.clone()]].concat();
    paths.insert(collection.clone(), json!({ "parameters": of_list, "get": list(kind, &format!("{id}_List")) }));
    if kind == ResourceType::Workspace {
        let path = format!("{SUBSCRIPTION}/providers/{NAMESPACE}/{spelling}");
        let of_list = json!([parameter("subscriptionId"), version]);
        paths.insert(path, json!({ "parameters": of_list, "get": list(kind, "Workspace_ListBySubscription") }));
    }
}

fn operation(kind: ResourceType, verb: Verb, id: &str) -> Value {
    let own = schemas::name(kind);
    let shown = |description: &str, headers: &[&str]| answer(description, &schema(&own), headers);
    let begun = ["ETag", "Azure-AsyncOperation", "Retry-After"];
    let (name, summary, conditions, body, mut responses) = match verb {
        Verb::Get => {
            let responses = json!({ "200": shown("The resource.", &["ETag"]) });
            ("Get", "Reads one.", vec![], Value::Null, responses)
        }
        Verb::Put => {
            let responses = json!({
                "200": shown("It is there and is changed; with an operation when something is to be done.", &begun),
                "201": shown("It is being made.", &begun),
            });
            let body = request(&schema(&own), schemas::example(kind), &["application/json"]);
            ("Put", "Makes or replaces one.", vec!["If-Match", "If-None-Match"], body, responses)
        }
        Verb::Patch => {
            let responses = json!({
                "200": shown("It is changed, and nothing more is to be done.", &["ETag"]),
                "202": shown("It is being changed.", &["ETag", "Azure-AsyncOperation", "Location", "Retry-After"]),
            });
            let kinds = ["application/json", "application/merge-patch+json"];
            let body = request(&schema(&schemas::patch_name(kind)), schemas::patch_example(kind), &kinds);
            (
                "Patch",
                "Changes one; `properties` by RFC 7396, a mapping as one value.",
                vec!["If-Match"],
                body,
                responses,
            )
        }
        Verb::Delete => {
            let gone = json!({ "description": "It is gone.", "headers": common_headers(&[]) });
            let none = json!({ "description": "There is none.", "headers": common_headers(&[]) });
            let begun = common_headers(&["Azure-AsyncOperation", "Location", "Retry-After"]);
            let begun = json!({ "description": "It is being removed, with what is below it.", "headers": begun });
            let responses = match kind {
                ResourceType::IotMapping => json!({ "200": gone, "204": none }),
                _ => json!({ "202": begun, "204": none }),
            };
            ("Delete", "Removes one.", vec!["If-Match"], Value::Null, responses)
        }
    };
    responses["default"] = reference("responses", "Error");
    let mut operation = json!({
        "operationId": format!("{id}_{name}"), "tags": [tag(kind)], "summary": summary,
        "parameters": conditions.into_iter().map(parameter).collect::<Vec<_>>(), "responses": responses,
    });
    if !body.is_null() {
        operation["requestBody"] = body;
    }
    if kind != ResourceType::IotMapping && verb != Verb::Get {
        operation["x-ms-long-running-operation"] = json!(true);
    }
    operation
}

fn list(kind: ResourceType, id: &str) -> Value {
    let items = schema(&schemas::name(kind));
    let page = json!({
        "type": "object", "required": ["value"],
        "properties": {
            "value": { "type": "array", "items": items },
            "nextLink": { "type": "string", "format": "uri", "description": "Where the list goes on." },
        },
    });
    json!({
        "operationId": id, "tags": [tag(kind)], "summary": "Lists all, in pages.",
        "parameters": [parameter("$top"), parameter("$skipToken")],
        "x-ms-pageable": { "nextLinkName": "nextLink" },
        "responses": { "200": answer("A page.", &page, &[]), "default": reference("responses", "Error") },
    })
}

fn act(kind: ResourceType, action: Action) -> Value {
    let (summary, body) = match action {
        Action::ListKeys => ("Gives the keys.", Value::Null),
        Action::RegenerateKeys => {
            let body = request(&schema("KeyType"), json!({ "keyType": "PrimaryKey" }), &["application/json"]);
            ("Makes one of the keys anew, and gives both.", body)
        }
    };
    let mut operation = json!({
        "operationId": format!("{kind:?}_{action:?}"), "tags": [tag(kind)], "summary": summary,
        "responses": {
            "200": answer("The keys.", &schema("ConnectionKeys"), &[]),
            "default": reference("responses", "Error"),
        },
    });
    if !body.is_null() {
        operation["requestBody"] = body;
    }
    operation
}

/// What belongs to no resource.
fn of_provider(paths: &mut Map<String, Value>) {
    let any = api_version(&ApiVersion::all());
    // What is Azure Resource Manager's own has versions of its own.
    let arms = json!({
        "name": "api-version", "in": "query", "required": true, "schema": { "type": "string", "minLength": 1 },
    });
    let of_subscriptions = json!({
        "name": "api-version", "in": "query", "required": true,
        "schema": { "type": "string", "enum": [OF_SUBSCRIPTIONS] },
    });
    let error = reference("responses", "Error");
    let mut add = |path: String, parameters: &[&str], version: &Value, method: &str, operation: Value| {
        let parameters = parameters.iter().map(|name| parameter(name)).chain([version.clone()]);
        paths.insert(path, json!({ "parameters": parameters.collect::<Vec<_>>(), method: operation }));
    };
    let operation = |id: &str, summary: &str, body: Value, responses: Value| {
        let mut operation =
            json!({ "operationId": id, "tags": ["provider"], "summary": summary, "responses": responses });
        if !body.is_null() {
            operation["requestBody"] = body;
        }
        operation
    };
    let shown =
        |name: &str, description: &str| json!({ "200": answer(description, &schema(name), &[]), "default": error });
    let provider = format!("{SUBSCRIPTION}/providers/{NAMESPACE}");

    let operations = shown("Operations", "What can be done.");
    let operations = operation("Operations_List", "Lists what can be done.", Value::Null, operations);
    add(format!("/providers/{NAMESPACE}/operations"), &[], &any, "get", operations);

    let mut results = shown("OperationStatus", "The status, or the result of what succeeded.");
    let result = json!({ "anyOf": schemas::resources_and(&["OperationStatus"]) });
    results["200"] =
        answer("The status; of `operationResultResponseType=Location` the result.", &result, &["ETag", "Retry-After"]);
    let begun = common_headers(&["Azure-AsyncOperation", "Location", "Retry-After"]);
    results["202"] =
        json!({ "description": "It goes on; of `operationResultResponseType=Location` only.", "headers": begun });
    let mut results = operation("OperationResults_Get", "Reads how an operation goes.", Value::Null, results);
    results["parameters"] = json!([parameter("operationResultResponseType")]);
    let path = format!("{provider}/locations/{{location}}/operationresults/{{operationId}}");
    add(path, &["subscriptionId", "location", "operationId"], &any, "get", results);

    for (path, id, parameters) in [
        (format!("{provider}/checkNameAvailability"), "Check", &["subscriptionId"][..]),
        (
            format!("{provider}/locations/{{location}}/checkNameAvailability"),
            "CheckIn",
            &["subscriptionId", "location"],
        ),
    ] {
        let example = json!({ "name": "ws1", "type": arm::name_of_provider("workspaces") });
        let body = request(&schema("NameToCheck"), example, &["application/json"]);
        let responses = shown("NameAvailability", "Whether it is free.");
        let check = operation(&format!("Names_{id}"), "Says whether a name is free.", body, responses);
        add(path, parameters, &any, "post", check);
    }

    let body = request(&schema("Subscription"), json!({ "state": "Registered" }), &["application/json"]);
    let put = shown("Subscription", "It was taken.");
    let put = operation("Subscriptions_Put", "Says what becomes of a subscription: for the front door.", body, put);
    add(SUBSCRIPTION.to_owned(), &["subscriptionId"], &of_subscriptions, "put", put);

    let read = shown("Provider", "The provider.");
    let read = operation("Providers_Get", "Reads the provider, where nothing stands in front.", Value::Null, read);
    add(provider.clone(), &["subscriptionId"], &arms, "get", read);
    let register = shown("Provider", "The provider.");
    let register = operation(
        "Providers_Register",
        "Registers a subscription, where nothing stands in front.",
        Value::Null,
        register,
    );
    add(format!("{provider}/register"), &["subscriptionId"], &arms, "post", register);

    let refused = json!({ "default": error });
    let refused = operation("Resources_Move", "Is refused: nothing can be moved.", Value::Null, refused);
    add(format!("{GROUP}/moveResources"), &["subscriptionId", "resourceGroupName"], &arms, "post", refused);
}

fn tag(kind: ResourceType) -> &'static str {
    match kind.generation() {
        Generation::Gen1 => "first generation",
        Generation::Gen2 => "second generation",
    }
}

fn request(schema: &Value, example: Value, kinds: &[&str]) -> Value {
    let content = kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema, "example": example })));
    json!({ "required": true, "content": content.collect::<Map<_, _>>() })
}

fn answer(description: &str, schema: &Value, headers: &[&str]) -> Value {
    json!({
        "description": description, "headers": common_headers(headers),
        "content": { "application/json": { "schema": schema } },
    })
}

/// The headers of each answer, and some more.
fn common_headers(more: &[&str]) -> Value {
    let all = ["x-ms-request-id"].iter().chain(more);
    Value::Object(all.map(|name| ((*name).to_owned(), reference("headers", name))).collect())
}

fn parameter(name: &str) -> Value {
    reference("parameters", name.trim_start_matches('$'))
}

fn api_version(versions: &[ApiVersion]) -> Value {
    let versions: Vec<&str> = versions.iter().map(|version| version.as_str()).collect();
    json!({ "name": "api-version", "in": "query", "required": true, "schema": { "type": "string", "enum": versions } })
}

/// The headers of answers.
pub fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let url =
        |description: &str| json!({ "description": description, "schema": { "type": "string", "format": "uri" } });
    let mut headers = json!({
        "ETag": text("The version of the resource, as in `etag`."),
        "Azure-AsyncOperation": url("Where the operation says how it goes."),
        "Location": url("Where the operation gives its result."),
        "Retry-After": {
            "description": "How long to wait before the next look, in seconds.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 600 },
        },
        "x-ms-request-id": text("Of this request."),
    });
    headers["x-ms-request-id"]["required"] = json!(true);
    headers
}

/// The answers that many have.
pub fn responses() -> Value {
    json!({ "Error": answer("It did not work.", &schema("Error"), &["Retry-After"]) })
}

/// The parameters that many have, by their names without `$`.
pub fn parameters() -> Value {
    let name = json!({ "type": "string", "minLength": 3, "maxLength": 24, "pattern": "^[A-Za-z0-9][A-Za-z0-9-]{1,22}[A-Za-z0-9]$" });
    let group =
        json!({ "type": "string", "minLength": 1, "maxLength": 90, "pattern": r"^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$" });
    let text = json!({ "type": "string", "minLength": 1 });
    let at = |place: &str, name: &str, schema: &Value, description: &str| {
        let required = place == "path";
        let parameter =
            json!({ "name": name, "in": place, "required": required, "schema": schema, "description": description });
        (name.trim_start_matches('$').to_owned(), parameter)
    };
    let path = |name: &str, schema: &Value, description: &str| at("path", name, schema, description);
    let mut location = text.clone();
    location["pattern"] = json!("^[A-Za-z0-9 ]+$");
    let mut operation = text.clone();
    operation["pattern"] = json!("^[0-9a-z]{25}$");
    let count = json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 100 });
    let all = [
        path("subscriptionId", &json!({ "type": "string", "format": "uuid" }), "The customer's subscription."),
        path("resourceGroupName", &group, "The customer's resource group."),
        path("serviceName", &name, "A FHIR service, which is not ours."),
        path("iomtConnectorName", &name, "A connector of the first generation."),
        path("connectionName", &name, "A connection of it."),
        path("mappingType", &json!({ "type": "string", "enum": ["device", "fhir"] }), "Which mapping of it."),
        path("workspaceName", &name, "A workspace."),
        path("iotConnectorName", &name, "A connector of it."),
        path("fhirDestinationName", &name, "A destination of the connector."),
        path("mappingName", &name, "A mapping of the connector."),
        path("location", &location, "A region."),
        path("operationId", &operation, "An operation."),
        at("query", "$top", &count, "How many a page has at the most."),
        at("query", "$skipToken", &json!({ "type": "string" }), "That of a `nextLink`."),
        at(
            "query",
            "operationResultResponseType",
            &json!({ "type": "string", "enum": ["Location"] }),
            "Asks for the result.",
        ),
        at("header", "If-Match", &json!({ "type": "string" }), "The ETag that it has to have, or `*`."),
        at("header", "If-None-Match", &json!({ "type": "string" }), "`*`: there must be none."),
    ];
    Value::Object(all.into_iter().collect())
}
