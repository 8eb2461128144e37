"""A client of the control plane made of Azure's management packages, for tests.

client.py URL SUBSCRIPTION   reads commands from standard input, a line each

{"do": "put", "names": ["ws1", "iot1"], "body": {...}, "headers": {...}}   over `azure-mgmt-healthcareapis`;
      how many names there are says of what: a workspace, a connector, a destination. Also `get`, `tag`, `patch`
      (any JSON, as bytes), `delete`; `list` takes the names of what is above, and may
      have a `query`.
{"do": "put", "id": "/subscriptions/...", "version": "...", "body": {...}}  over `azure-mgmt-resource`, by id. Also
      `get`, `patch`, `delete`, and `post`.

Prints a line for each answer that came over the network, {"method", "url", "status"}, and then what the package
made of them: {"done": ...} or {"failed": {"status", "code", "message"}}. Waits for operations as the package does.
Shows the token in ARM_TOKEN, and trusts the authority in SSL_CERT_FILE.
"""

import io
import json
import os
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import HttpRequest
from azure.mgmt.healthcareapis import HealthcareApisManagementClient, models

GROUP = "rg1"


class Token:
    """A credential that was given its token."""

    def get_token(self, *_scopes, **_options):
        return AccessToken(os.environ["ARM_TOKEN"], int(time.time()) + 3600)


class Exchanges(SansIOHTTPPolicy):
    """Prints what goes over the network, repetitions too."""

    def on_response(self, request, response):
        line = {"method": request.http_request.method, "url": request.http_request.url}
        say(line | {"status": response.http_response.status_code})


class Queries(SansIOHTTPPolicy):
    """Asks of a list what the packages have no parameter for."""

    query = None

    def on_request(self, request):
        if self.query and self.query not in request.http_request.url:
            request.http_request.url += f"&{self.query}"


def say(line):
    print(json.dumps(line), flush=True)


def options(url):
    return {
        "base_url": url,
        "connection_verify": os.environ["SSL_CERT_FILE"],
        "per_retry_policies": [Queries(), Exchanges()],
    }


def shown(model):
    """A typed model as JSON has it; the two packages are of two generations of generated code."""
    return model.as_dict() if hasattr(model, "as_dict") and not hasattr(model, "serialize") else model.serialize(True)


class Typed:
    """Workspaces, connectors and destinations, by their own methods and models."""

    def __init__(self, url, subscription):
        self.client = HealthcareApisManagementClient(Token(), subscription, **options(url))

    def of(self, names):
        """The operations, the model, and the model of a change."""
        if len(names) == 1:
            return self.client.workspaces, models.Workspace, models.WorkspacePatchResource
        if len(names) == 2:
            return self.client.iot_connectors, models.IotConnector, models.IotConnectorPatchResource
        return self.client.iot_connector_fhir_destination, models.IotFhirDestination, None

    def put(self, names, body, **more):
        operations, model, _ = self.of(names)
        return shown(operations.begin_create_or_update(GROUP, *names, model.from_dict(body), **more).result())

    def get(self, names, **more):
        return shown(self.of(names)[0].get(GROUP, *names, **more))

    def list(self, names, query=None, **more):
        Queries.query = query
        if not names:
            found = self.client.workspaces.list_by_resource_group(GROUP, **more)
        elif len(names) == 1:
            found = self.client.iot_connectors.list_by_workspace(GROUP, *names, **more)
        else:
            found = self.client.fhir_destinations.list_by_iot_connector(GROUP, *names, **more)
        names = [item.name for item in found]
        Queries.query = None
        return names

    # To change or delete a connector, its name comes before the workspace's.

    def tag(self, names, body, **more):
        operations, _, change = self.of(names)
        return shown(operations.begin_update(GROUP, *reversed(names), change(tags=body), **more).result())

    def patch(self, names, body, **more):
        body = io.BytesIO(json.dumps(body).encode())
        return shown(self.of(names)[0].begin_update(GROUP, *reversed(names), body, **more).result())

    def delete(self, names, **more):
        ordered = names if len(names) == 3 else reversed(names)
        return self.of(names)[0].begin_delete(GROUP, *ordered, **more).result()


class ById:
    """Any resource, by its id: what the command line of Azure does too."""

    def __init__(self, url, subscription):
        from azure.mgmt.resource.resources import ResourceManagementClient

        self.client = ResourceManagementClient(Token(), subscription, **options(url))

    def put(self, id, version, body, **more):
        more["parameters"] = io.BytesIO(json.dumps(body).encode())
        more["api_version"] = version
        return shown(self.client.resources.begin_create_or_update_by_id(id.lstrip("/"), **more).result())

    def patch(self, id, version, body, **more):
        more["parameters"] = io.BytesIO(json.dumps(body).encode())
        more["api_version"] = version
        return shown(self.client.resources.begin_update_by_id(id.lstrip("/"), **more).result())

    def get(self, id, version, **more):
        return shown(self.client.resources.get_by_id(id.lstrip("/"), api_version=version, **more))

    def delete(self, id, version, **more):
        return self.client.resources.begin_delete_by_id(id.lstrip("/"), api_version=version, **more).result()

    def post(self, id, version, body=None):
        """An action, which the package has no method for; through its pipeline all the same."""
        response = self.client.send_request(HttpRequest("POST", id, params={"api-version": version}, json=body))
        response.raise_for_status()
        return response.json()

    def list(self, id, version):
        response = self.client.send_request(HttpRequest("GET", id, params={"api-version": version}))
        response.raise_for_status()
        return [item["name"] for item in response.json()["value"]]


def failure(error):
    said = {"status": error.status_code, "code": error.error and error.error.code, "message": error.message}
    return {"failed": said}


def main(url, subscription):
    clients = {}
    for line in sys.stdin:
        command = json.loads(line)
        kind = ById if "id" in command else Typed
        client = clients.get(kind) or clients.setdefault(kind, kind(url, subscription))
        act = getattr(client, command.pop("do"))
        try:
            say({"done": act(**command)})
        except HttpResponseError as error:
            say(failure(error))


main(*sys.argv[1:])
