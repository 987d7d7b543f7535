"""The sample model: will a flight that leaves New York arrive late?"""
