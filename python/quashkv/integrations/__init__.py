# SPDX-License-Identifier: Apache-2.0
"""Adapters for software that runs language models, none of which is imported before it is used."""
