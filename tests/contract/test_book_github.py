"""The GitHub-like application of The DynamoDB Book: its access patterns, with its keys.

Accounts and their repositories by the time of their last push; issues and pull requests, numbered in one sequence,
newest first, and the open ones; stars on both sides of a repository.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, Add, BaseDynamoRepository, TransactionCanceledError, transact_write
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import MONDAY, Make, later

TABLE = SingleTable(
    "github",
    partition_key="PK",
    sort_key="SK",
    kind="Type",
    indexes={name: (f"{name}PK", f"{name}SK") for name in ("GSI1", "GSI2", "GSI3", "GSI4")},
)


class Account(BaseModel):
    name: str


class Repo(BaseModel):
    owner: str
    name: str
    pushed_at: datetime = MONDAY
    issues: int = 0
    stars: int = 0
    fork_of: str | None = None


class Issue(BaseModel):
    owner: str
    name: str
    number: int
    state: str = "open"


class PullRequest(BaseModel):
    owner: str
    name: str
    number: int


class Star(BaseModel):
    owner: str
    name: str
    username: str
    starred_at: datetime = MONDAY


class Accounts(BaseDynamoRepository[Account]):
    single_table = TABLE
    primary_key = Key("ACCOUNT#{name}")
    sort_key = Key("ACCOUNT#{name}")
    with_repos = AccessPattern("GSI3", partition=Key("ACCOUNT#{name}"), sort=Key("ACCOUNT#{name}"))


class Repos(BaseDynamoRepository[Repo]):
    single_table = TABLE
    primary_key = Key("REPO#{owner}#{name}")
    sort_key = Key("REPO#{owner}#{name}")
    with_pulls = AccessPattern("GSI1", partition=Key("REPO#{owner}#{name}"), sort=Key("REPO#{owner}#{name}"))
    forks = AccessPattern("GSI2", partition=Key("FORKS#{fork_of}"), sort=Key("FORK#{owner}"))
    of_account = AccessPattern("GSI3", partition=Key("ACCOUNT#{owner}"), sort=Key("#{pushed_at}"))


class Issues(BaseDynamoRepository[Issue]):
    single_table = TABLE
    primary_key = Key("REPO#{owner}#{name}")
    sort_key = Key("ISSUE#{number:08d}")
    of_state = AccessPattern(
        "GSI4", partition=Key("REPO#{owner}#{name}"), sort=Key("ISSUE#{state}#{number:08d}", case="upper")
    )


class PullRequests(BaseDynamoRepository[PullRequest]):
    single_table = TABLE
    primary_key = Key("PR#{owner}#{name}#{number:08d}")
    sort_key = Key("PR#{owner}#{name}#{number:08d}")
    of_repo = AccessPattern("GSI1", partition=Key("REPO#{owner}#{name}"), sort=Key("PR#{number:08d}"))


class Stars(BaseDynamoRepository[Star]):
    single_table = TABLE
    primary_key = Key("REPO#{owner}#{name}")
    sort_key = Key("STAR#{username}")


class RepoAndIssues(Collection):
    repos: list[Repo]
    issues: list[Issue]


class RepoAndStars(Collection):
    repos: list[Repo]
    stars: list[Star]


class AccountAndRepos(Collection):
    accounts: list[Account]
    repos: list[Repo]


def opened(repos: Repos, issues: Issues) -> Issue:
    """Open an issue under the next number of the repository, as the book does it."""
    number = repos.patch(("alex", "dynamo"), issues=Add(1)).issues
    return issues.create(Issue(owner="alex", name="dynamo", number=number))


def test_issues_are_numbered_and_found_newest_first(make: Make) -> None:
    repos, issues = make(Repos), make(Issues)
    repos.create(Repo(owner="alex", name="dynamo"))
    for _ in range(12):
        opened(repos, issues)
    found = repos.collection(RepoAndIssues, "alex", "dynamo").le("REPO$").descending().page(4)
    assert [repo.issues for repo in found.repos] == [12]
    assert [issue.number for issue in found.issues] == [12, 11, 10]
    assert [issue.number for issue in issues.query("alex", "dynamo").descending().limit(2)] == [12, 11]
    assert issues.get_or_raise(("alex", "dynamo"), 7).number == 7


def test_open_issues(make: Make) -> None:
    repos, issues = make(Repos), make(Issues)
    repos.create(Repo(owner="alex", name="dynamo"))
    for _ in range(5):
        opened(repos, issues)
    issues.patch(("alex", "dynamo"), 4, state="closed")
    assert [issue.number for issue in issues.of_state("alex", "dynamo").eq("open").descending()] == [5, 3, 2, 1]
    assert issues.of_state("alex", "dynamo").eq("closed").one().number == 4


def test_pull_requests_of_a_repository(make: Make) -> None:
    repos, pulls = make(Repos), make(PullRequests)
    repos.create(Repo(owner="alex", name="dynamo"))
    pulls.put_many([PullRequest(owner="alex", name="dynamo", number=number) for number in (2, 10, 9)])
    pulls.put_many([PullRequest(owner="alex", name="dynamo2", number=1)])
    assert [pull.number for pull in pulls.of_repo("alex", "dynamo").descending()] == [10, 9, 2]
    assert [pull.number for pull in pulls.of_repo("alex", "dynamo").ge(9)] == [9, 10]
    assert repos.with_pulls("alex", "dynamo").one().name == "dynamo"
    assert pulls.get_or_raise(("alex", "dynamo", 10)).number == 10


def test_a_repository_is_starred_once_by_each(make: Make) -> None:
    repos, stars = make(Repos), make(Stars)
    repos.create(Repo(owner="alex", name="dynamo"))

    def star(username: str) -> None:
        transact_write(
            [
                stars.create_request(Star(owner="alex", name="dynamo", username=username)),
                repos.patch_request(("alex", "dynamo"), stars=Add(1)),
            ]
        )

    for username in ("zoe", "ann"):
        star(username)
    with pytest.raises(TransactionCanceledError):
        star("ann")
    found = repos.collection(RepoAndStars, "alex", "dynamo").ge("REPO#").all()
    assert [repo.stars for repo in found.repos] == [2]
    assert [star.username for star in found.stars] == ["ann", "zoe"]


def test_an_account_and_its_repositories_by_their_last_push(make: Make) -> None:
    accounts, repos = make(Accounts), make(Repos)
    accounts.create(Account(name="alex"))
    for number, name in enumerate(("one", "two", "three")):
        repos.create(Repo(owner="alex", name=name, pushed_at=later(number)))
    repos.patch(("alex", "one"), pushed_at=later(10))
    found = accounts.collection(AccountAndRepos, "alex", index="GSI3").descending().all()
    assert [account.name for account in found.accounts] == ["alex"]
    assert [repo.name for repo in found.repos] == ["one", "three", "two"]
    assert [repo.name for repo in repos.of_account("alex").gt(later(1))] == ["three", "one"]


def test_forks_of_a_repository(make: Make) -> None:
    repos = make(Repos)
    repos.create(Repo(owner="alex", name="dynamo"))
    for owner in ("zoe", "ann"):
        repos.create(Repo(owner=owner, name="dynamo", fork_of="alex/dynamo"))
    assert [repo.owner for repo in repos.forks("alex/dynamo")] == ["ann", "zoe"]
