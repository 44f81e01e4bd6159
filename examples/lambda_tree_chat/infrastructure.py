"""``python -m examples.lambda_tree_chat.infrastructure > template.json``: all that the function needs, for SAM.

Without options it is for this machine's architecture and Python, as the zip of `package.py` is. For another one:
``--architecture arm64 --python 3.13``.

Tables and permissions are those of the repositories. Who a user is says the JWT issuer: Cognito, Auth0, your own.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from typing import Any

from dynamodb_wrapper import DynamoDBConfig, cloudformation_template, iam_policy
from examples.lambda_tree_chat.repositories import ChatRepository, MessageRepository

PREFIX = "tree"
HERE = ".".join(map(str, sys.version_info[:2]))
ARCHITECTURES = ("x86_64", "arm64")
THIS_ARCHITECTURE = ARCHITECTURES[platform.machine().lower() in ("arm64", "aarch64")]


def template(
    *, zip_file: str = "dist/tree_chat.zip", architecture: str = THIS_ARCHITECTURE, python: str = HERE
) -> dict[str, Any]:
    config = DynamoDBConfig(table_prefix=PREFIX, environment="prod", region_name="us-east-1")
    repositories = ChatRepository(config), MessageRepository(config)
    policy = iam_policy(*repositories, region="${AWS::Region}", account="${AWS::AccountId}", scan=False)
    statements = policy["Statement"]
    for statement in statements:
        statement["Resource"] = [{"Fn::Sub": name} for name in statement["Resource"]]
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "CodeUri": zip_file,
            "Handler": "examples.lambda_tree_chat.app.handler",
            "Runtime": f"python{python}",
            "Architectures": [architecture],
            "MemorySize": 1024,  # CPU comes with memory, and a cold start is all CPU
            "Timeout": 29,
            "LoggingConfig": {"LogFormat": "JSON"},
            "Environment": {
                "Variables": {
                    "DYNAMODB_TABLE_PREFIX": PREFIX,
                    "DYNAMODB_ENVIRONMENT": "prod",
                    "DELETIONS_QUEUE_URL": {"Ref": "Deletions"},
                }
            },
            "Policies": [
                {"Version": "2012-10-17", "Statement": statements},
                {"SQSSendMessagePolicy": {"QueueName": {"Fn::GetAtt": ["Deletions", "QueueName"]}}},
            ],
            "Events": {
                "Requests": {"Type": "HttpApi", "Properties": {"ApiId": {"Ref": "Api"}, "PayloadFormatVersion": "2.0"}},
                "Deletions": {
                    "Type": "SQS",
                    "Properties": {
                        "Queue": {"Fn::GetAtt": ["Deletions", "Arn"]},
                        "BatchSize": 1,
                        "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    },
                },
            },
        },
    }
    authorizer = {
        "JwtConfiguration": {"issuer": {"Ref": "Issuer"}, "audience": [{"Ref": "Audience"}]},
        "IdentitySource": "$request.header.Authorization",
    }
    api = {
        "Type": "AWS::Serverless::HttpApi",
        "Properties": {"Auth": {"DefaultAuthorizer": "Users", "Authorizers": {"Users": authorizer}}},
    }
    queue = {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "VisibilityTimeout": 180,  # six times the function's, says AWS
            "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["GivenUp", "Arn"]}, "maxReceiveCount": 10},
        },
    }
    given_up = {"Type": "AWS::SQS::Queue", "Properties": {"MessageRetentionPeriod": 1_209_600}}  # 14 days, the most
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Chats as trees",
        "Parameters": {"Issuer": {"Type": "String"}, "Audience": {"Type": "String"}},
        "Resources": {
            **cloudformation_template(repositories)["Resources"],
            "Function": function,
            "Api": api,
            "Deletions": queue,
            "GivenUp": given_up,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.lambda_tree_chat.infrastructure", description=__doc__)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=THIS_ARCHITECTURE)
    parser.add_argument("--python", default=HERE, help="for example 3.13")
    options = parser.parse_args()
    print(json.dumps(template(architecture=options.architecture, python=options.python), indent=2))


if __name__ == "__main__":
    main()
