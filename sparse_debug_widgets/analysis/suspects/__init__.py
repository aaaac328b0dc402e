"""Suspects: is there a small fixed cause that makes any example a class?"""
