"""The sample model: flights that leave New York and arrive late."""
