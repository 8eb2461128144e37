//! Values that cannot be meant are refused before anything is made, with their path and what was expected.

use crate::chart::{Values, root};

/// A destination with everything that it must have, and more.
fn destination(more: &str) -> String {
    format!(r#"{{"name": "a", "fhir": {{"url": "https://f"}}{more}}}"#)
}

fn destinations(list: &[String]) -> Values {
    Values::default().json(&format!("destinations=[{}]", list.join(",")))
}

fn set(values: &[&str]) -> Values {
    Values::default().set(values)
}

/// A FHIR server at that address.
fn url(url: &str) -> Values {
    destinations(&[destination("").replace("https://f", url)])
}

/// What the templates refuse: all of the text behind "value".
#[test]
fn what_belongs_together_is_checked() {
    const MIB: &str =
        "expected at most 67108864 (64 MiB), above which the Functions host fails before it calls the function";
    let long = "a".repeat(51);
    let cases: Vec<(Values, String)> = [
        // Names.
        (destinations(&[destination(""), destination("")]), "`destinations[1].name` is `a`, as of another destination; expected a name of its own"),
        (destinations(&[destination(""), destination("")]), "`destinations[1].workloadName` gives the name `rel-convert-a`, as `destinations[0].workloadName` does; expected another"),
        (
            destinations(&[destination(r#", "consumerGroup": "G""#), destination(r#", "consumerGroup": "g""#).replace("\"a\"", "\"b\"")]),
            "`destinations[1].consumerGroup` is `g`, as `destinations[0].consumerGroup` is; expected another, since a destination that shares one holds the other up",
        ),
        (
            destinations(&[destination(r#", "consumerGroup": "$Default""#)]),
            "`destinations[0].consumerGroup` is `$Default`; expected another: that one is everybody's, and who looks into the hub would hold this destination up",
        ),
        (
            destinations(&[destination(r#", "workloadName": "rel-normalize""#)]),
            "`destinations[0].workloadName` gives the name `rel-normalize`, as `normalize.workloadName` does; expected another",
        ),
        (
            Values::default().release(&long[..30]).set(&[&format!("normalize.workloadName={}", "b".repeat(61))]),
            "`normalize.workloadName` gives the name `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb` of 61 characters; expected at most 60: set it, or choose a shorter name for the release",
        ),
        (
            Values::default().release(&long),
            "`destinations[0].workloadName` gives the name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-convert-fhir` of 64 characters; expected at most 63: set it",
        ),
        (
            Values::default().release("one.two"),
            "`normalize.workloadName` gives the name `one.two-normalize`; expected lower-case letters, digits and single hyphens, since the container of positions is called so",
        ),
        // What normalize was called, or will be: its positions lie there.
        (
            destinations(&[destination(r#", "workloadName": "rel-normalize-e1""#)]),
            "`destinations[0].workloadName` gives the name `rel-normalize-e1`, which normalize has in one of its epochs; expected another",
        ),
        (
            destinations(&[destination(r#", "workloadName": "rel-normalize""#)]).set(&["source.epoch=2"]),
            "`destinations[0].workloadName` gives the name `rel-normalize`, which normalize has in one of its epochs; expected another",
        ),
        (
            destinations(&[destination(r#", "workloadName": "w""#), destination(r#", "workloadName": "w""#).replace("\"a\"", "\"b\"")]),
            "`destinations[1].workloadName` gives the name `w`, as `destinations[0].workloadName` does; expected another",
        ),
        // Containers.
        (set(&["storage.containers.deadLetters=mappings"]), "`storage.containers.deadLetters` gives the container `mappings`, as `storage.containers.mappings` does; expected another"),
        (set(&["storage.containers.deadLetters=parked-fhir"]), "`storage.containers.parking` gives the container `parked-fhir`, as `storage.containers.deadLetters` does; expected another"),
        (set(&["storage.containers.mappings=rel-convert-fhir"]), "`storage.containers.mappings` gives the container `rel-convert-fhir`, as `destinations[0].workloadName` does; expected another"),
        (set(&["storage.containers.deadLetters=rel-normalize-e1"]), "`storage.containers.deadLetters` gives the container `rel-normalize-e1`, as `normalize.workloadName` does; expected another"),
        (
            set(&["storage.containers.deadLetters=rel-normalize-e7"]),
            "`storage.containers.deadLetters` gives the container `rel-normalize-e7`, where normalize has its positions in one of its epochs; expected another",
        ),
        (
            set(&["storage.containers.mappings=azure-webjobs-eventhub"]),
            "`storage.containers.mappings` gives the container `azure-webjobs-eventhub`; expected another, since those that begin with `azure-webjobs-` are the Functions host's",
        ),
        (
            destinations(&[destination(r#", "workloadName": "azure-webjobs-eventhub""#)]),
            "`destinations[0].workloadName` gives the name `azure-webjobs-eventhub`; expected another, since containers that begin with `azure-webjobs-` are the Functions host's",
        ),
        (
            set(&["front=functions", "normalize.workloadName=azure-webjobs-x"]),
            "`normalize.workloadName` gives the name `azure-webjobs-x`; expected another, since containers",
        ),
        // Loops.
        (
            set(&["internalHub.eventHub.fullyQualifiedNamespace=CONTOSO.servicebus.windows.net", "internalHub.eventHub.name=DeviceData"]),
            "`internalHub.eventHub` is `contoso.servicebus.windows.net/devicedata`, as `source.eventHub` is; expected another hub: normalize would read what it writes",
        ),
        (
            set(&["deadLetters.eventHub.fullyQualifiedNamespace=contoso.servicebus.windows.net", "deadLetters.eventHub.name=DEVICEDATA"]),
            "`deadLetters.eventHub` is `contoso.servicebus.windows.net/devicedata`, as `source.eventHub` is; expected another hub: what is rejected would be read, and rejected, again and again",
        ),
        (
            set(&["deadLetters.eventHub.fullyQualifiedNamespace=contoso-internal.servicebus.windows.net", "deadLetters.eventHub.name=NormalizedData"]),
            "`deadLetters.eventHub` is `contoso-internal.servicebus.windows.net/normalizeddata`, as `internalHub.eventHub` is; expected another hub: what is rejected would be read",
        ),
        (set(&["http.port=9464"]), "`telemetry.prometheus.port` is 9464, as `http.port` is; expected another"),
        (set(&["http.listenAddress=127.0.0.1"]), "`http.listenAddress` is `127.0.0.1`, where no probe arrives; expected no address on loopback"),
        (set(&["http.listenAddress=[::1]"]), "`http.listenAddress` is `[::1]`, where no probe arrives"),
        (set(&["serviceAccount.create=false"]), "`serviceAccount.name` is not set; expected the name of a ServiceAccount"),
        // Mappings.
        (set(&["mappings.device.blob=b", "mappings.device.content=c"]), "`mappings.device` has `blob` and `content`; expected only one of them"),
        (
            destinations(&[destination(r#", "mapping": {"configMap": {"name": "m"}, "content": "c"}"#)]),
            "`destinations[0].mapping` has `configMap.name` and `content`; expected only one of them",
        ),
        (set(&["mappings.device.content=devicecontent.json"]), "`mappings.device.content` does not begin with `{` or a comment; expected the document itself"),
        (Values::default().json(r#"mappings.device.content="[]""#), "`mappings.device.content` does not begin with `{`"),
        (set(&["mappings.device.content=/mappings/devicecontent.json"]), "`mappings.device.content` does not begin with `{`"),
        (destinations(&[destination(r#", "mapping": {"content": "templateType: CollectionFhir"}"#)]), "`destinations[0].mapping.content` does not begin with `{`"),
        // Addresses.
        (url("https://f:x"), "`destinations[0].fhir.url` is `https://f:x`; expected a host behind `://`, and behind that nothing, a port, or a path"),
        (url("https://u:p@f"), "`destinations[0].fhir.url` is `https://u:p@f`; expected a host"),
        (url("https://[::1"), "`destinations[0].fhir.url` is `https://[::1`; expected a host"),
        (url("https://a..b"), "`destinations[0].fhir.url` is `https://a..b`; expected the name of a host, or its IP address"),
        (url("https://10.0.0.256/fhir"), "`destinations[0].fhir.url` is `https://10.0.0.256/fhir`; expected the name of a host"),
        (url("https://f:65536"), "`destinations[0].fhir.url` is `https://f:65536`; expected a port from 1 to 65535"),
        (url("https://f:0/"), "`destinations[0].fhir.url` is `https://f:0/`; expected a port from 1 to 65535"),
        (url("https://f/%zz"), "`destinations[0].fhir.url` is `https://f/%zz`; expected two hexadecimal digits behind each `%`"),
        (set(&["telemetry.otlpEndpoint=http://c:70000"]), "`telemetry.otlpEndpoint` is `http://c:70000`; expected a port from 1 to 65535"),
        (set(&["source.customEndpoint=amqp://c:70000"]), "`source.customEndpoint` is `amqp://c:70000`; expected a port"),
        (set(&["storage.blobServiceUri=https://c:70000"]), "`storage.blobServiceUri` is `https://c:70000`; expected a port"),
        // Identities.
        (set(&["identity.internal.clientId="]), "`identity.internal.clientId` is not set; expected the client id of the internal identity, since `identity.type` is `WorkloadIdentity`"),
        (set(&["identity.type=AadPodIdentity"]), "`identity.internal.resourceId` is not set; expected the resource id"),
        (
            set(&["identity.external.tenantId=00000000-0000-0000-0000-000000000001"]),
            "`identity.external.clientId` is not set; expected the client id of the identity that the other values of `identity.external` are about",
        ),
        (
            set(&["identity.external.clientId=00000000-0000-0000-0000-000000000001", "identity.external.certificateUri=https://v/certificates/c"]),
            "`identity.external.tenantId` is not set; expected the identity's tenant, since it shows a certificate",
        ),
        (set(&["source.authentication.type=ExternalIdentity"]), "`source.authentication.type` is `ExternalIdentity`; expected `identity.external.clientId` with its client id"),
        (set(&["identity.type=None"]), "`source.authentication.type` is not set; expected one such as `ConnectionString`, since `identity.type` is `None`"),
        (set(&["identity.type=None"]), "`storage.authentication.type` is not set; expected `Sas`, since `identity.type` is `None`"),
        (set(&["identity.type=None"]), "`identity.type` is `None`; expected another, since normalize sends to the internal hub with an identity only"),
        (set(&["identity.type=None"]), "`destinations[0].fhir.authentication.type` is not set; expected `ClientCredentials` or `None`"),
        // What opens what.
        (set(&["source.authentication.type=ConnectionString"]), "`source.authentication.connectionString` is not set; expected a secret, since the type is `ConnectionString`"),
        (set(&["source.authentication.type=Development"]), "`source.customEndpoint` is ``; expected an address on loopback such as `amqp://127.0.0.1:5672`, since the type is `Development`"),
        (set(&["source.authentication.type=Development", "source.customEndpoint=amqp://10.0.0.1"]), "`source.customEndpoint` is `amqp://10.0.0.1`; expected an address on loopback"),
        (set(&["storage.authentication.type=Sas"]), "`storage.authentication.sas` is not set; expected a secret, since the type is `Sas`"),
        (set(&["storage.blobServiceUri=http://10.0.0.1/a"]), "`storage.blobServiceUri` is `http://10.0.0.1/a`; expected https, since tokens are not sent in plain text"),
        (set(&["deadLetters.eventHub.name=d"]), "`deadLetters.eventHub` has a name or a namespace; expected both or none"),
        (
            destinations(&[destination("").replace("\"url\"", r#""authentication": {"type": "ClientCredentials"}, "url""#)]),
            "`destinations[0].fhir.authentication.clientSecret` is not set; expected one, since the type is `ClientCredentials`",
        ),
        (set(&["ingest.http.enabled=true"]), "`ingest.http.token` is not set; expected a secret, or `ingest.http.tokenValue`, since nothing is let in without a token"),
        (set(&["source.authentication.connectionString.keyVaultSecret=s"]), "`source.authentication.connectionString` is the key vault's secret `s`; expected `keyVault.name` with the name of the vault"),
        (set(&["source.authentication.connectionString.keyVaultSecret=s", "keyVault.name=contoso"]), "`keyVault.tenantId` is not set; expected the vault's tenant, or `identity.internal.tenantId`"),
        // The Functions host.
        (
            Values::example("certificate").set(&["front=functions"]),
            "`source.authentication.type` is `ExternalIdentity` with a certificate; expected the native front, or another type: the Functions host opens the hub, and not with a certificate",
        ),
        (set(&["front=functions", "functionsHost.largestEventBytes=1048576"]), &format!("`functionsHost.maxEventBatchSize` times `functionsHost.largestEventBytes` is 1048576000; {MIB}")),
        (
            set(&["front=functions", "storage.authentication.type=Sas", "storage.authentication.sas.secretName=s", "storage.authentication.sas.secretKey=k"]),
            "`storage.authentication.connectionString` is not set; expected a secret, or an identity as `storage.authentication.type`: the Functions host takes no SAS",
        ),
        (
            destinations(&[destination(r#", "window": {"seconds": 601}"#)]).set(&["front=functions"]),
            "`destinations[0].window.seconds` is 601; expected at most 600, which is as long as the Functions host gathers events",
        ),
        (
            set(&[
                "front=functions",
                "source.authentication.type=Development",
                "source.customEndpoint=amqp://127.0.0.1:5672",
            ]),
            "`source.authentication.connectionString` is not set; expected a secret, since the Functions host shows no made-up token",
        ),
        // Scaling.
        (set(&["scaling.normalize.maxReplicas=5"]), "`scaling.normalize.maxReplicas` is 5; expected at most 4, the `source.eventHub.partitionCount`, since a partition has one reader"),
        (set(&["scaling.groupConvert.minReplicas=3", "scaling.groupConvert.maxReplicas=2"]), "`scaling.groupConvert.minReplicas` is 3; expected at most 2, the most replicas"),
        (
            set(&["source.authentication.type=ConnectionString", "source.authentication.connectionString.secretName=s", "source.authentication.connectionString.secretKey=k"]),
            "`storage.authentication.connectionString` is not set; expected a secret, or `scaling.source` `operator`: when KEDA opens a hub with a connection string (`source.authentication.connectionString`), it opens the storage so too",
        ),
        (
            set(&["source.customEndpoint=amqp://127.0.0.1:5672"]),
            "`source.authentication.connectionString` is not set; expected a secret, or `scaling.source` `operator`: KEDA dials no other address than the namespace's, and shows no made-up token",
        ),
        (
            set(&["storage.blobServiceUri=https://blobs.contoso.example"]),
            "`storage.blobServiceUri` is `https://blobs.contoso.example`; expected none, or connection strings of hub and storage, or `scaling.source` `operator`: KEDA's identity opens https://<accountName>.blob.<endpointSuffix> only",
        ),
        (set(&["source.eventHub.fullyQualifiedNamespace=contoso"]), "`source.eventHub.fullyQualifiedNamespace` is `contoso`; expected a name with dots such as `contoso.servicebus.windows.net`"),
        // KEDA's own token goes to Azure, or where the platform says.
        (
            set(&["source.eventHub.fullyQualifiedNamespace=ns1.evil.example.com"]),
            "`source.eventHub.fullyQualifiedNamespace` is `ns1.evil.example.com`; expected a name and one of the suffixes `servicebus.chinacloudapi.cn`, `servicebus.usgovcloudapi.net`, `servicebus.windows.net`, or connection strings of hub and storage, or `scaling.source` `operator`: KEDA shows its own identity there, so any other suffix is the platform's to list (`scaling.keda.privateSuffixes`)",
        ),
        (
            set(&["internalHub.eventHub.fullyQualifiedNamespace=servicebus.windows.net"]),
            "`internalHub.eventHub.fullyQualifiedNamespace` is `servicebus.windows.net`; expected a name and one of the suffixes",
        ),
        (
            set(&["source.eventHub.fullyQualifiedNamespace=ns1.servicebus.windows.net.evil.example", "scaling.keda.privateSuffixes={evil.example}"]),
            "`source.eventHub.fullyQualifiedNamespace` is `ns1.servicebus.windows.net.evil.example`; expected a name and one of the suffixes",
        ),
        (
            set(&["storage.endpointSuffix=evil.example.com"]),
            "`storage.endpointSuffix` is `evil.example.com`; expected one of `core.chinacloudapi.cn`, `core.usgovcloudapi.net`, `core.windows.net`, or connection strings of hub and storage, or `scaling.source` `operator`: KEDA shows its own identity there",
        ),
        (
            // With one connection string for the storage KEDA still goes there as itself.
            Values::example("full").set(&["storage.endpointSuffix=evil.example.com"]),
            "`storage.endpointSuffix` is `evil.example.com`; expected one of",
        ),
        (set(&["storage.accountName="]), "`storage.accountName` is not set; expected the account's name, or `storage.blobServiceUri`"),
        (set(&["scaling.source=operator"]), "`scaling.operator.token` is not set; expected a secret, or `scaling.operator.tokenValue`"),
        (
            set(&["scaling.source=operator", "scaling.operator.tokenValue=t", "scaling.operator.caBundle=c"]),
            "`scaling.operator` has not all of `caBundle`, `clientCertificate` and `clientKey`; expected all or none, since KEDA takes none without the others",
        ),
        // What only a pod would make, for the operator.
        (
            Values::example("connection-strings").set(&["scaling.source=operator", "scaling.operator.tokenValue=t"]),
            "`source.authentication.connectionString` is the key vault's secret `iot-hub-endpoint`; expected a Secret of the namespace, or `scaling.source` `keda`",
        ),
        (
            Values::example("full").set(&["scaling.source=operator", "scaling.operator.tokenValue=t"]),
            "`storage.authentication.sas` is the key vault's secret `storage-sas`; expected a Secret of the namespace, or `scaling.source` `keda`",
        ),
        // A managed identity is a node's.
        (
            Values::example("aad-pod-identity").set(&["scaling.source=operator", "scaling.operator.tokenValue=t"]),
            "`source.authentication.type` is `ManagedIdentity`; expected another, or `scaling.source` `keda`: the operator reads the lag as the connector's workload identity, and can be no managed identity of a node (`identity.type` is `AadPodIdentity`)",
        ),
        (
            set(&["scaling.source=operator", "scaling.operator.tokenValue=t", "storage.authentication.type=ManagedIdentity"]),
            "`storage.authentication.type` is `ManagedIdentity`; expected another, or `scaling.source` `keda`",
        ),
        (
            Values::example("certificate").set(&[
                "scaling.source=operator",
                "scaling.operator.tokenValue=t",
                "identity.type=AadPodIdentity",
                "identity.internal.resourceId=/subscriptions/s/resourceGroups/g/providers/p/i",
            ]),
            "`source.authentication.type` is `ExternalIdentity`; expected another, or `scaling.source` `keda`: the operator reads the lag as the connector's workload identity, and can be no managed identity of a node, as which `identity.external.certificateUri` is opened",
        ),
        // Keys that would be there twice.
        (
            Values::default().json(r#"pod.labels={"app.kubernetes.io/name": "mine"}"#),
            "`pod.labels` has `app.kubernetes.io/name`; expected none of the keys that this chart writes itself",
        ),
        (
            Values::default().json(r#"serviceAccount.annotations={"azure.workload.identity/client-id": "1"}"#),
            "`serviceAccount.annotations` has `azure.workload.identity/client-id`; expected none of the keys",
        ),
        // App settings.
        (set(&["settings.RUST_LOG=debug"]), "`settings.RUST_LOG` is set; expected telemetry.logLevel"),
        (set(&["settings.externalidentity__Anything=x"]), "`settings.externalidentity__Anything` is set; expected identity.external"),
        (set(&["settings.Http__Listen=x"]), "`settings.Http__Listen` is set; expected http"),
        (set(&["normalize.settings.inputeventhub__EVENTHUBNAME=x"]), "`normalize.settings.inputeventhub__EVENTHUBNAME` is set; expected source.eventHub.name"),
        // What would have the Functions host lose positions or events.
        (
            set(&["settings.AzureFunctionsJobHost__extensions__eventHubs__batchCheckpointFrequency=x"]),
            "`settings.AzureFunctionsJobHost__extensions__eventHubs__batchCheckpointFrequency` is set; expected nothing, since a position is stored behind each batch",
        ),
        (
            set(&["normalize.settings.azurefunctionsjobhost__extensions__eventhubs__enableCheckpointing=x"]),
            "`normalize.settings.azurefunctionsjobhost__extensions__eventhubs__enableCheckpointing` is set; expected nothing, since a position",
        ),
        (
            set(&["settings.AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__type=fromEnd"]),
            "`settings.AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__type` is set; expected nothing, since a hub without positions is read from its beginning",
        ),
        (
            set(&["settings.AzureFunctionsJobHost__functions__0=other"]),
            "`settings.AzureFunctionsJobHost__functions__0` is set; expected nothing, since a workload is one function",
        ),
        (
            set(&["settings.AzureFunctionsJobHost__functionTimeout=x"]),
            "`settings.AzureFunctionsJobHost__functionTimeout` is set; expected nothing, since the functions count on its ten minutes",
        ),
        (
            destinations(&[destination(r#", "settings": {"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": "x"}"#)]),
            "`destinations[0].settings.AzureFunctionsJobHost__customHandler__description__defaultExecutablePath` is set; expected nothing, since it is the image's",
        ),
        (
            set(&["settings.AzureWebJobs__normalize__Disabled=x"]),
            "`settings.AzureWebJobs__normalize__Disabled` is set; expected nothing, since a function that is switched off reads nothing",
        ),
        (
            set(&["settings.POD_NAMESPACE=x"]),
            "`settings.POD_NAMESPACE` is set; expected nothing, since the Functions host would believe that it is App Service's own",
        ),
        (
            destinations(&[destination(r#", "settings": {"EventBatching__MaxEvents": "1"}"#)]),
            "`destinations[0].settings.EventBatching__MaxEvents` is set; expected destinations[].window.maxEvents",
        ),
    ]
    .into_iter()
    .map(|(values, expected)| (values, format!("- value {expected}")))
    .chain([(
        Values::default().json(r#"settings={"Fhir__Some": "1"}"#).json(r#"normalize.settings={"FHIR__SOME": "1"}"#),
        "- app setting `FHIR__SOME` is set as `Fhir__Some` too; expected one spelling".to_owned(),
    )])
    .collect();
    for (values, expected) in cases {
        let refusal = values.refusal();
        assert!(refusal.contains("the values are not usable:") && refusal.contains(&expected), "{expected}\n{refusal}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let refusal = set(&["identity.type=None", "http.port=9464", "scaling.normalize.maxReplicas=5"]).refusal();
    let problems = refusal.lines().filter(|line| line.starts_with("- ")).count();
    assert_eq!(problems, 7, "{refusal}");
}

/// What the schema refuses: where, and a part of what is said.
#[test]
fn single_values_are_checked() {
    let id = "identity.internal.clientId=me";
    let cases = [
        (set(&["front=both"]), "/front", "value must be one of 'native', 'functions'"),
        (set(&["sources.epoch=1"]), "''", "additional properties 'sources' not allowed"),
        (set(&["source.epoc=1"]), "/source", "additional properties 'epoc' not allowed"),
        (set(&["source.epoch=0"]), "/source/epoch", "minimum"),
        (set(&["source.epoch=null"]), "/source", "missing property 'epoch'"),
        (set(&["source.eventHub.partitionCount=four"]), "/source/eventHub/partitionCount", "got string, want integer"),
        (set(&["source.authentication.type=Sas"]), "/source/authentication/type", "value must be one of"),
        (
            set(&["source.authentication.connectionString=Endpoint"]),
            "/source/authentication/connectionString",
            "'oneOf' failed",
        ),
        (
            set(&["source.authentication.connectionString.secretName=s"]),
            "/source/authentication/connectionString",
            "missing property 'secretKey'",
        ),
        (
            set(&["internalHub.authentication.type=ExternalIdentity"]),
            "/internalHub/authentication/type",
            "value must be one of",
        ),
        (set(&["storage.accountName=Contoso"]), "/storage/accountName", "does not match pattern"),
        (
            set(&["storage.containers.deadLetters=dead--letters"]),
            "/storage/containers/deadLetters",
            "does not match pattern",
        ),
        (set(&[id]), "/identity/internal/clientId", "does not match pattern"),
        (
            set(&["identity.external.certificateUri=https://v/secrets/c"]),
            "/identity/external/certificateUri",
            "does not match pattern",
        ),
        (
            set(&["scaling.normalize.unprocessedEventThreshold=0"]),
            "/scaling/normalize/unprocessedEventThreshold",
            "minimum",
        ),
        (set(&["scaling.operator.url=http://operator"]), "/scaling/operator/url", "does not match pattern"),
        (
            set(&["ingest.http.tokenValue=0123456789abcdef0123456789abcde"]),
            "/ingest/http/tokenValue",
            "does not match pattern",
        ),
        // What the API server would refuse.
        (set(&["source.eventHub.consumerGroup="]), "/source/eventHub/consumerGroup", "does not match pattern"),
        (
            set(&["internalHub.eventHub.fullyQualifiedNamespace=a..b"]),
            "/internalHub/eventHub/fullyQualifiedNamespace",
            "does not match pattern",
        ),
        (set(&["serviceAccount.name=Ward"]), "/serviceAccount/name", "does not match pattern"),
        (set(&["serviceAccount.name=a..b"]), "/serviceAccount/name", "does not match pattern"),
        (set(&["ingest.http.host=Ingest.contoso.example"]), "/ingest/http/host", "does not match pattern"),
        (set(&["ingest.http.host=a.-b"]), "/ingest/http/host", "does not match pattern"),
        (set(&["image.pullSecrets={Registry}"]), "/image/pullSecrets/0", "does not match pattern"),
        (set(&["http.port=65536"]), "/http/port", "maximum"),
        (set(&["http.listenAddress=256.0.0.1"]), "/http/listenAddress", "does not match pattern"),
        (set(&["networkPolicy.podPorts={65536}"]), "/networkPolicy/podPorts/0", "maximum"),
        (set(&["networkPolicy.egress[0].port=443"]), "/networkPolicy/egress/0", "additional properties 'port'"),
        (set(&["networkPolicy.egress[0].ports[0].port=70000"]), "/networkPolicy/egress/0/ports/0/port", "maximum"),
        (
            set(&["networkPolicy.egress[0].to[0].ipBlock.cidr=10.0.0.1"]),
            "/networkPolicy/egress/0/to/0/ipBlock/cidr",
            "does not match pattern",
        ),
        (
            set(&["networkPolicy.ingestFrom[0].namespace=nginx"]),
            "/networkPolicy/ingestFrom/0",
            "additional properties 'namespace'",
        ),
        (set(&["pod.tolerations[0].effect=Never"]), "/pod/tolerations/0/effect", "value must be one of"),
        (set(&["pod.tolerations[0].keys=iot"]), "/pod/tolerations/0", "additional properties 'keys'"),
        (set(&["pod.affinity.nodeSelector.a=b"]), "/pod/affinity", "additional properties 'nodeSelector'"),
        (set(&["pod.labels.team=ward 7"]), "/pod/labels/team", "does not match pattern"),
        (set(&["pod.resources.normalize.requests.cpu=1 core"]), "/pod/resources/normalize/requests/cpu", "pattern"),
        (set(&["podDisruptionBudget.maxUnavailable=101%"]), "/podDisruptionBudget/maxUnavailable", "pattern"),
        (set(&["ingest.http.className=Nginx"]), "/ingest/http/className", "does not match pattern"),
        (set(&["settings.A=1"]), "/settings/A", "got number, want string"),
        (set(&["http.port=80"]), "/http/port", "minimum"),
        (set(&["telemetry.logFormat=xml"]), "/telemetry/logFormat", "value must be one of"),
        (set(&["image.native.digest=latest"]), "/image/native/digest", "does not match pattern"),
        (destinations(&vec![destination(""); 20]), "/destinations", "maxItems"),
        (destinations(&[r#"{"name": "a"}"#.to_owned()]), "/destinations/0", "missing property 'fhir'"),
        (destinations(&[destination("").replace("\"a\"", "\"A\"")]), "/destinations/0/name", "does not match pattern"),
        (
            destinations(&[destination("").replace("https://f", "f")]),
            "/destinations/0/fhir/url",
            "does not match pattern",
        ),
        (
            destinations(&[destination(r#", "window": {"maxEvents": 0}"#)]),
            "/destinations/0/window/maxEvents",
            "minimum",
        ),
        (
            destinations(&[destination("").replace("\"url\"", r#""version": "R5", "url""#)]),
            "/destinations/0/fhir/version",
            "value must be 'R4'",
        ),
        (
            destinations(&[destination(r#", "identityResolution": {"type": "Guess"}"#)]),
            "/destinations/0/identityResolution/type",
            "value must be one of",
        ),
    ];
    for (values, place, expected) in cases {
        let refusal = values.refusal();
        let line = refusal
            .lines()
            .find(|line| line.contains(&format!("at '{}'", place.trim_matches('\''))) && line.contains(expected));
        assert!(line.is_some(), "{place} {expected}\n{refusal}");
    }
}

/// The functions read a mapping as leniently as the reference connector does, and judge it; the chart looks at its
/// beginning only.
#[test]
fn a_mapping_is_judged_by_the_functions() {
    let taken = [
        "{}",
        "\u{feff} {}",
        "\n// the ward's\n{}",
        "/* it */ {'a': 1}",
        "{a: 1}",
        r#"{"a": [1,],}"#,
        r#"{"Error": 1}"#,
        r#"{"a": NaN}"#,
        r#"{"a": }"#,
    ];
    for content in taken {
        let content = serde_json::Value::from(content);
        let objects = Values::default().json(&format!("mappings.device.content={content}")).objects();
        assert_eq!(objects.get("ConfigMap", "rel-normalize-mapping")["data"]["devicecontent.json"], content);
    }
}

/// A ConfigMap holds a mebibyte; what is longer in bytes than in characters is seen too.
#[test]
fn a_mapping_that_no_config_map_holds_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file for values");
    let content = format!("{{\"a\": \"{}\"}}", "\u{20ac}".repeat(400_000));
    std::fs::write(file.path(), serde_json::json!({ "mappings": { "device": { "content": content } } }).to_string())
        .expect("values are written");
    let refusal = Values::default().file(file.path()).refusal();
    let expected =
        "`mappings.device.content` has 1200009 bytes; expected at most 1048000, since a ConfigMap holds no more";
    assert!(refusal.contains(expected), "{refusal}");
}

/// A FHIR server that asks who one is.
const FHIR_SIGN_IN: [&str; 2] = [
    "authentication.authority=https://login.contoso.example/t",
    "authentication.audience=https://fhir.contoso.example",
];

/// The same of the other two charts.
#[test]
fn the_other_charts_refuse_what_cannot_be_meant() {
    let cases = [
        (
            "fhir-service",
            set(&["authentication.enabled=false", "authorization.enabled=true"]),
            "authorization.enabled: is true, but authentication.enabled is not",
        ),
        // Else `authentication.enabled: true` would stand above a server that lets everybody in.
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["environment.FhirServer__Security__Enabled=false"]),
            "environment: has FhirServer__Security__Enabled, which this chart writes itself, from other values",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["environment.FHIRSERVER__security__ENABLED=false"]),
            "environment: has FHIRSERVER__security__ENABLED, which this chart writes itself, from other values",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).json(r#"secretEnvironment.fhirserver__security__authorization__enabled={"secretName": "s", "secretKey": "k"}"#),
            "secretEnvironment: has fhirserver__security__authorization__enabled, which this chart writes itself",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["environment.Some__Name=1", "environment.some__name=2"]),
            "environment: has some__name, as environment has",
        ),
        ("fhir-service", set(&["serviceAccount.name=Ward"]), "at '/serviceAccount/name'"),
        ("fhir-service", set(&["ingress.domain=a..b"]), "at '/ingress/domain'"),
        ("fhir-service", set(&["networkPolicy.egress[0].port=443"]), "at '/networkPolicy/egress/0'"),
        ("fhir-service", set(&["pod.tolerations[0].keys=iot"]), "at '/pod/tolerations/0'"),
        ("fhir-service", set(&["authentication.enabled=null"]), "at '/authentication': missing property 'enabled'"),
        ("fhir-service", set(&["identity=null"]), "at '': missing property 'identity'"),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["telemetry.prometheus.enabled=true", "telemetry.prometheus.port=8080"]),
            "telemetry.prometheus.port: is 8080, as service.targetPort is; expected another",
        ),
        (
            "platform",
            set(&["lag.enabled=true", "lag.everywhere=true", "lag.port=8080", "http.listenAddress=127.1.2.3"]),
            "lag.port: is 8080, as http.port is; expected another\nhttp.listenAddress: is 127.1.2.3, where no probe arrives",
        ),
        ("platform", set(&["http.listenAddress=::1"]), "http.listenAddress: is ::1, where no probe arrives"),
        ("platform", set(&["http.listenAddress=0:0:0:0:0:0:0:1"]), "http.listenAddress: is 0:0:0:0:0:0:0:1,"),
        ("platform", set(&["http.listenAddress=::ffff:127.0.0.1"]), "http.listenAddress: is ::ffff:127.0.0.1,"),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["strategy.maxSurge=0"]),
            "strategy: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["strategy.maxSurge=0%", "strategy.maxUnavailable=00"]),
            "strategy: maxSurge and maxUnavailable are both 0",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["strategy.maxUnavailable=101%"]),
            "strategy.maxUnavailable: is 101%; expected a number of pods, or at most 100%",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["strategy.maxSurge=4294967296"]),
            "strategy.maxSurge: is 4294967296; expected less",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["dataStore.type=CosmosDb", "dataStore.host=https://c"]),
            "dataStore.key: is needed by type CosmosDb, unless identity.type says who opens the account",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["export.enabled=true", "export.storageAccountUri=https://s"]),
            "export.storageAccountUri: is opened as the identity, and identity.type is None",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["environment.ASPNETCORE_URLS=http://+:9090"]),
            "environment: has ASPNETCORE_URLS, which this chart writes itself",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set(&["environment.Kestrel__Endpoints__Http__Url=http://+:9090"]),
            "environment: has Kestrel__Endpoints__Http__Url, but service.targetPort says where the server listens",
        ),
        (
            "fhir-service",
            set(&FHIR_SIGN_IN).set_strings(&["environment.ASPNETCORE_HTTP_PORTS=9090"]),
            "environment: has ASPNETCORE_HTTP_PORTS, but service.targetPort says",
        ),
        ("platform", set(&["lag.from=null"]), "at '/lag': missing property 'from'"),
        ("platform", set(&["connectorValues=null"]), "at '': missing property 'connectorValues'"),
        ("platform", set(&["lag.from[0].namespace=keda"]), "at '/lag/from/0'"),
        ("platform", set(&["http.listenAddress=operator"]), "at '/http/listenAddress'"),
        ("platform", set(&["pod.affinity.nodeSelector.a=b"]), "at '/pod/affinity'"),
    ];
    for (chart, values, expected) in cases {
        match values.render(&root().join("helm").join(chart), "1.33") {
            Ok(_) => panic!("{chart} takes {values:?}"),
            Err(refusal) => assert!(refusal.contains(expected), "{expected}\n{refusal}"),
        }
    }
}
