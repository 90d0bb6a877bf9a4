"""The rulebook: one person against all duties and programs, a million persons in columns, and other engines beside.

Prints one JSON object. Figures to reach: verdicts 250 µs, with reasons and minimal sets 2 ms, a million persons 10 s.
The other engines decide five programs that all three can express; `answers_when_facts_are_missing` shows what each
says of somebody of whom nothing is known, and of a child whose age nobody knows.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import orjson
import zen
from json_logic import jsonLogic

from contracts.facts import SubjectFacts
from rulebook import columns
from rulebook.conditions import All, AnyOf, AtLeast, Compare, Condition, Not, Use
from rulebook.duties import DutyFacts, decide
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.loader import Law, load_law
from rulebook.programs import determine
from rulebook.trees import AllTree, AnyTree, AtLeastTree, NotTree, Tree
from rulebook.values import FactMap, plain
