"""Projects on an MLflow server: workspace, service account, permission and experiment.

Plain HTTP: MLflow's own client of its accounts imports the whole server.
"""

from __future__ import annotations

from typing import Any

import httpx

from mlops.binding.session import is_loopback
from mlops.errors import Conflict, ServiceError, ServiceUnavailable, Unauthorized

_ROLE = "member"
_EXPERIMENT = "runs"
_EXISTS = frozenset({"RESOURCE_ALREADY_EXISTS"})
_GONE = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})


class MLflowAdmin:
    """The administrator's view of one server."""

    def __init__(self, *, url: str, username: str, password: str, timeout_s: float = 30.0) -> None:
        """`url` is the server's, without credentials."""
        self._url, self._auth, self._timeout = url.rstrip("/"), (username, password), timeout_s

    def prepare_project(self, namespace: str, password: str) -> str:
        """Make what a project needs and return its experiment's id; safe to repeat.

        The account is called as the namespace, has `password`, and may do everything in the workspace
        `namespace` and nothing elsewhere. Raises `Conflict` when there is an account of that name with
        another password, which stays as it is; `ServiceUnavailable`, `Unauthorized`, `ServiceError`.
        """
        with self._http() as http:
            self._prepare_account(http, namespace, password)
            _ask(http, "POST", "3.0/mlflow/workspaces", {"name": namespace}, allowed=_EXISTS)
            self._prepare_role(http, namespace)
            return self._experiment(http, namespace)

    def set_alias(self, namespace: str, model: str, alias: str, version: int) -> bool:
        """Move an alias of a model of a workspace; False where there is no such version. Raises
        `ServiceUnavailable`, `Unauthorized`, `ServiceError`."""
        body = {"name": model, "alias": alias, "version": str(version)}
        headers = {"X-MLFLOW-WORKSPACE": namespace}
        path = "2.0/mlflow/registered-models/alias"
        with self._http() as http:
            return _ask(http, "POST", path, body, allowed=_GONE, headers=headers) is not None

    def remove(self, namespace: str) -> None:
        """Remove the account, the role and the workspace with all that is in it; safe to repeat."""
        with self._http() as http:
            for role in self._roles(http, namespace):
                _ask(http, "DELETE", "3.0/mlflow/roles/delete", {"role_id": role["id"]}, allowed=_GONE)
            _ask(http, "DELETE", "2.0/mlflow/users/delete", {"username": namespace}, allowed=_GONE)
            _ask(http, "DELETE", f"3.0/mlflow/workspaces/{namespace}?mode=CASCADE", allowed=_GONE)

    def _prepare_account(self, http: httpx.Client, namespace: str, password: str) -> None:
        account = {"username": namespace, "password": password}
        if _ask(http, "POST", "2.0/mlflow/users/create", account, allowed=_EXISTS) is not None:
            return
        try:
            _ask(http, "GET", f"2.0/mlflow/users/get?username={namespace}", auth=(namespace, password))
        except Unauthorized:
            raise Conflict(
                f"MLflow at {self._url} has an account {namespace!r} with a password that is not this"
                " project's",
                remedy="Choose another namespace in project.toml. If the account is this project's own, put"
                " its password back into secrets/project.<name>.mlflow below MLOPS_HOME, or have MLflow's"
                " administrator delete the account; then register again.",
                namespace=namespace,
            ) from None

    def _prepare_role(self, http: httpx.Client, namespace: str) -> None:
        named = [role for role in self._roles(http, namespace) if role["name"] == _ROLE]
        if not named:
            asked = {"workspace": namespace, "name": _ROLE}
            named = [_ask(http, "POST", "3.0/mlflow/roles/create", asked)["role"]]
        role = {"role_id": named[0]["id"]}
        grant = {"resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}
        _ask(http, "POST", "3.0/mlflow/roles/permissions/add", role | grant, allowed=_EXISTS)
        _ask(http, "POST", "3.0/mlflow/roles/assign", role | {"username": namespace}, allowed=_EXISTS)

    def _experiment(self, http: httpx.Client, namespace: str) -> str:
        headers = {"X-MLFLOW-WORKSPACE": namespace}
        asked = {"name": _EXPERIMENT}
        made = _ask(http, "POST", "2.0/mlflow/experiments/create", asked, allowed=_EXISTS, headers=headers)
        if made is not None:
            return str(made["experiment_id"])
        path = f"2.0/mlflow/experiments/get-by-name?experiment_name={_EXPERIMENT}"
        return str(_ask(http, "GET", path, headers=headers)["experiment"]["experiment_id"])

    def _roles(self, http: httpx.Client, namespace: str) -> list[dict[str, Any]]:
        found = _ask(http, "GET", f"3.0/mlflow/roles/list?workspace={namespace}", allowed=_GONE)
        return list(found["roles"]) if found else []

    def _http(self) -> httpx.Client:
        # A proxy has no business with what stays on this machine, the password least of all.
        return httpx.Client(
            base_url=f"{self._url}/api/",
            auth=self._auth,
            timeout=self._timeout,
            trust_env=not is_loopback(self._url),
        )


def _ask(
    http: httpx.Client,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    allowed: frozenset[str] = frozenset(),
    headers: dict[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> Any:
    """One call, as `auth` where given; None when MLflow refused it with a code that is `allowed`."""
    try:
        answer = http.request(method, path, json=body, headers=headers, auth=auth or http.auth)
    except httpx.TransportError as error:
        raise ServiceUnavailable("mlflow", f"{http.base_url}: {error}") from error
    if answer.is_success:
        return answer.json() if answer.content else {}
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthorized()
    code, message = _refusal(answer)
    if code in allowed:
        return None
    raise ServiceError(
        f"MLflow refused {method} {path.partition('?')[0]} ({answer.status_code}): {message}",
        remedy="Read `efficientai-toolkit mlops:logs mlflow`.",
        status=answer.status_code,
        code=code,
    )


def _refusal(answer: httpx.Response) -> tuple[str, str]:
    try:
        body = answer.json()
        return str(body.get("error_code", "")), str(body.get("message", ""))
    except (ValueError, AttributeError):
        return "", answer.text[:300]
