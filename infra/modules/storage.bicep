// The app's storage account: its package, the Durable task hub, the record, undelivered events. Nobody gets in with a key.

@description('3 to 24 lower-case letters and digits, unique in the whole cloud.')
@minLength(3)
@maxLength(24)
param name string

param location string

param tags object

@description('Whether the account answers from the internet. Event Grid and other trusted services always reach it.')
param publicAccess bool

@description('Copies of the data: within one datacentre, or across zones where the region has them.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param sku string

@description('Days for which a deleted blob can be restored.')
@minValue(1)
@maxValue(365)
param retentionDays int = 7

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: retentionDays
    }
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: 'packages'
  properties: { publicAccess: 'None' }
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: 'dead-letters'
  properties: { publicAccess: 'None' }
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

output id string = account.id
output name string = account.name
output packagesUrl string = '${account.properties.primaryEndpoints.blob}${packages.name}'
output tableUrl string = account.properties.primaryEndpoints.table
output deadLetterContainer string = deadLetters.name
